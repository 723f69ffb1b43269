from tests.local.jobs.fixtures import job, kind, run

__all__ = ["job", "kind", "run"]
