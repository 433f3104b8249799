"""Every planted bug is found by the right rule, and the sound models that it was planted in are left in peace."""

from __future__ import annotations


def test_a_planted_bug_is_found_by_its_rule_and_by_no_other(planted, check):
    found = check(planted.source, "--task", planted.task)
    assert planted.rules & found.rules(), str(found)
    assert found.rules("error", "warning") <= planted.rules | planted.also, str(found)


def test_a_sound_model_has_neither_errors_nor_warnings(sound, task, check):
    found = check(sound, "--task", task)
    assert found.code == 0
    assert not found.rules("error", "warning"), str(found)
