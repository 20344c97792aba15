import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection

from openapi.generate import PATH, document
from softanswer.api.problems import BY_STATUS, NOT_HTTP
from softanswer.app import create_app

schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app())


def test_the_committed_document_is_the_code_s():
    assert PATH.read_text(encoding="utf8") == document(), "run `make openapi`"


def test_every_problem_is_documented():
    prose = PATH.with_name("problems.md").read_text(encoding="utf8")
    for kind in (*BY_STATUS.values(), NOT_HTTP):
        assert f"## {kind.slug} ({kind.status})" in prose


def test_every_operation_says_what_it_answers():
    for path, operations in yaml.safe_load(PATH.read_text(encoding="utf8"))["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            assert "200" in operation["responses"], (path, method)
            assert "default" in operation["responses"], (path, method)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_schemathesis_finds_nothing(case):
    # A batch answers 200 with a problem in the place of each bad draft: that is its contract.
    batched = case.path.endswith(("/batch", "/simulate"))
    case.call_and_validate(excluded_checks=[negative_data_rejection] if batched else [])
