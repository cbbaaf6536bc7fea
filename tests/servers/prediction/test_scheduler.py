"""The scheduler by hand: what each step holds. A step is (decoding sequences, their context, chunks as (tokens, start, last))."""

import pytest

from loadgen.moe.step import Step
from loadgen.servers.prediction.scheduler import Plan, Scheduler, SchedulerLimits, Sequence


def scheduler(
    *requests: tuple[int, int], seqs: int = 8, tokens: int = 100, blocks: int = 1000, plans_ahead: bool = True
) -> Scheduler:
    """One with these (prompt, output) requests waiting."""
    made = Scheduler(SchedulerLimits(seqs, tokens, blocks, plans_ahead))
    for number, (prompt_tokens, output_tokens) in enumerate(requests):
        made.add(Sequence(number, prompt_tokens, output_tokens))
    return made


def shape(step: Step) -> tuple[float, float, list[tuple[int, int, bool]]]:
    chunks = [(chunk.tokens, chunk.start, chunk.last) for chunk in step.chunks]
    return step.decode_sequences, step.decode_context_tokens, chunks


def planned(made: Scheduler) -> Plan:
    plan = made.plan()
    assert plan is not None
    return plan


def steps_of(made: Scheduler, count: int) -> list[tuple[float, float, list[tuple[int, int, bool]]]]:
    """Plan and finish so many steps, one after the other."""
    found = []
    for _ in range(count):
        plan = planned(made)
        found.append(shape(plan.step))
        made.finish(plan)
    return found


def test_two_prompts_share_the_budget_of_a_step_and_the_second_goes_on_in_the_next() -> None:
    made = scheduler((60, 3), (70, 2), tokens=100)
    assert steps_of(made, 3) == [
        (0, 0, [(60, 0, True), (40, 0, False)]),  # 60 + 40 of 70
        (1, 61, [(30, 40, True)]),  # the first decodes over 61 keys; the rest of the second
        (2, 62 + 71, []),
    ]
    assert made.plan() is None
    assert made.running == []
    assert made.free_blocks == 1000


def test_running_sequences_come_before_waiting_ones() -> None:
    made = scheduler((10, 5), tokens=20)
    made.finish(planned(made))
    made.add(Sequence(1, 40, 1))
    assert steps_of(made, 3) == [
        (1, 11, [(19, 0, False)]),
        (1, 12, [(19, 19, False)]),
        (1, 13, [(2, 38, True)]),
    ]


def test_a_prompt_beyond_max_num_seqs_waits_until_one_has_ended() -> None:
    made = scheduler((10, 2), (10, 2), (10, 2), seqs=2)
    assert steps_of(made, 3) == [
        (0, 0, [(10, 0, True), (10, 0, True)]),
        (2, 22, []),
        (0, 0, [(10, 0, True)]),
    ]


def test_the_last_one_admitted_is_preempted_and_computed_anew_with_its_output() -> None:
    # 3 blocks of 16: prompts of 16 and 15 take one each. The first needs a second block for its 17th token, the second for
    # its 17th two steps later, when the third block is taken: it is the last admitted, so it gives way itself.
    made = scheduler((16, 4), (15, 4), blocks=3)
    first = planned(made)
    made.finish(first)
    assert steps_of(made, 2) == [(2, 17 + 16, []), (1, 18, [])]
    (second,) = made.waiting
    assert (second.number, second.computed, second.planned, second.preemptions) == (1, 0, 2, 1)
    assert made.free_blocks == 1  # 17 tokens need two
    assert steps_of(made, 1) == [(1, 19, [])]  # the last token of the first, whose blocks are free after it
    assert steps_of(made, 2) == [(0, 0, [(17, 0, True)]), (1, 18, [])]
    assert second.made == 4
    assert made.free_blocks == 3


def test_an_earlier_sequence_takes_the_blocks_of_a_later_one() -> None:
    made = scheduler((16, 3), (16, 3), blocks=2)
    made.finish(planned(made))
    # Both need a second block: the first takes those of the second, which is preempted in the same step.
    assert steps_of(made, 1) == [(1, 17, [])]
    assert [sequence.number for sequence in made.waiting] == [1]


def test_no_prompt_is_admitted_while_the_cache_has_no_room_for_all_of_it() -> None:
    made = scheduler((16, 2), (40, 1), tokens=30, blocks=4)  # 40 tokens take 3 blocks; the first takes 1, later 2
    assert shape(planned(made).step) == (0, 0, [(16, 0, True), (14, 0, False)])
    made = scheduler((32, 3), (40, 1), blocks=4)
    assert shape(planned(made).step) == (0, 0, [(32, 0, True)])


def test_a_step_is_planned_before_the_one_before_it_has_finished() -> None:
    made = scheduler((10, 3))
    first, second, third = planned(made), planned(made), planned(made)
    assert [shape(plan.step) for plan in (second, third)] == [(1, 11, []), (1, 12, [])]
    assert made.plan() is None  # all three tokens are planned
    assert made.finish(first) == made.finish(second) == []
    assert [sequence.number for sequence in made.finish(third)] == [0]


def test_without_planning_ahead_a_sequence_waits_for_its_token() -> None:
    made = scheduler((10, 3), (10, 3), plans_ahead=False)
    first = planned(made)
    assert made.plan() is None
    made.finish(first)
    assert shape(planned(made).step) == (2, 22, [])


def test_unchanged_steps_end_with_the_shortest_reply_or_the_free_blocks() -> None:
    made = scheduler((16, 5), (16, 9))
    made.finish(planned(made))
    assert made.unchanged_steps() == 4
    # 49 steps would take four more blocks of each, and six are free; half as many steps take two of each.
    short = scheduler((16, 50), (16, 60), blocks=8)
    short.finish(planned(short))
    assert short.unchanged_steps() == 24
    short.finish_decoded(short.decode(24), 24)
    assert short.free_blocks == 2


def test_a_request_that_the_cache_cannot_hold_even_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="a request of 5 blocks does not fit a KV cache of 4"):
        scheduler((60, 5), blocks=4)


def test_a_step_with_drafts_checks_all_of_them_and_gets_the_stated_number_of_tokens() -> None:
    made = Scheduler(SchedulerLimits(8, 100, 1000, draft_tokens=3, tokens_per_step=2.5))
    made.add(Sequence(0, 10, 9))
    found = []
    for _ in range(5):
        plan = planned(made)
        found.append((shape(plan.step), plan.step.tokens, plan.tokens))
        made.finish(plan)
    assert found == [
        ((0, 0, [(10, 0, True)]), 10, (1,)),
        ((1, 10 + 4, []), 4, (2,)),  # 2.5 a step: two, then three
        ((1, 12 + 4, []), 4, (3,)),
        ((1, 15 + 4, []), 4, (2,)),
        ((1, 17 + 4, []), 4, (1,)),  # three, of which one is asked for
    ]
    assert made.plan() is None
    assert made.free_blocks == 1000


def test_drafted_tokens_take_their_place_in_the_cache_and_in_the_budget() -> None:
    made = Scheduler(SchedulerLimits(8, 20, 1000, draft_tokens=3, tokens_per_step=1.0))
    made.add(Sequence(0, 14, 5))
    made.finish(planned(made))
    assert made.free_blocks == 999
    made.add(Sequence(1, 40, 1))
    plan = planned(
        made
    )  # 15 to 18 are checked: a second block; 16 of the step's 20 tokens are left to the other prompt
    assert shape(plan.step) == (1, 18, [(16, 0, False)])
    assert made.free_blocks == 1000 - 2 - 1
    assert made.unchanged_steps() == 0
