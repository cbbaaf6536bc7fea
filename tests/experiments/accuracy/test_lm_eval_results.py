"""What is kept of lm-eval's result file."""

import pytest

from loadgen.errors import UsageError
from loadgen.experiments.accuracy.results import TaskResult, read_results, version_of

OWN = {
    "results": {
        "loadgen_copy": {
            "alias": "loadgen_copy",
            "sample_len": 50,
            "exact_match,stripped": 0.9,
            "exact_match_stderr,stripped": 0.03,
        },
        "hellaswag": {
            "alias": "hellaswag",
            "acc,none": 0.25,
            "acc_stderr,none": "N/A",
            "acc_norm,none": 0.5,
            "acc_norm_stderr,none": 0.1,
        },
    },
    "n-shot": {"loadgen_copy": 0, "hellaswag": 5},
    "n-samples": {"loadgen_copy": {"original": 50, "effective": 50}, "hellaswag": {"original": 10042, "effective": 25}},
    "lm_eval_version": "0.4.13",
}
GROUP = {
    "results": {
        "mmlu": {"acc,none": 0.6, "acc_stderr,none": 0.01, "alias": "mmlu"},
        "mmlu_stem": {"acc,none": 0.5, "acc_stderr,none": 0.01, "alias": " - stem"},
        "mmlu_anatomy": {"acc,none": 0.4, "acc_stderr,none": 0.01, "alias": "  - anatomy"},
    },
    "groups": {"mmlu": {"acc,none": 0.6, "acc_stderr,none": 0.01, "alias": "mmlu"}},
    "group_subtasks": {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_anatomy", "mmlu_physics"]},
    "n-shot": {"mmlu_anatomy": 0},
    "n-samples": {"mmlu_anatomy": {"effective": 10}, "mmlu_physics": {"effective": 20}},
}


def test_each_metric_of_each_task_is_a_result() -> None:
    assert read_results(OWN) == (
        TaskResult("copy", "exact_match", 0.9, 0.03, 50, 0),
        TaskResult("hellaswag", "acc", 0.25, None, 25, 5),
        TaskResult("hellaswag", "acc_norm", 0.5, 0.1, 25, 5),
    )
    assert version_of(OWN) == "0.4.13"


def test_a_group_is_one_result_over_the_questions_of_its_tasks() -> None:
    assert read_results(GROUP) == (TaskResult("mmlu", "acc", 0.6, 0.01, 30, None),)


def test_filters_that_share_a_metric_are_part_of_its_name() -> None:
    document = {"results": {"gsm8k": {"exact_match,strict": 0.5, "exact_match,flexible": 0.75}}}
    assert [result.metric for result in read_results(document)] == ["exact_match (strict)", "exact_match (flexible)"]


@pytest.mark.parametrize("document", [None, [], {}, {"results": {}}, {"results": {"copy": {"acc,none": float("nan")}}}])
def test_a_file_without_a_figure_is_refused(document: object) -> None:
    with pytest.raises(UsageError, match="no figure"):
        read_results(document)
