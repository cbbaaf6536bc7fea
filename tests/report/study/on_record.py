"""A study with what a store has of it."""

from loadgen.report.study.record import PlannedStudy, Record
from loadgen.report.study.results import StudyResults, results_of
from loadgen.store.repository import Store
from loadgen.study.study_file import StudyFile


def study_results(file: StudyFile, store: Store) -> StudyResults:
    return results_of(PlannedStudy.of(file), Record.of(store))
