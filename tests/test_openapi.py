import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

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


EXCLUDED = {
    # A batch answers 200 with a problem in the place of each bad draft: that is its contract.
    "/v1/score/batch": [negative_data_rejection],
    "/v1/policies/simulate": [negative_data_rejection],
    # Either text or data; enabledOnly with something enabled: OpenAPI cannot say it of a form, where all is text.
    "/v2/check": [negative_data_rejection, positive_data_acceptance],
    # A comment in a language that is not known, or without what relevance is held against.
    "/v1alpha1/comments:analyze": [positive_data_acceptance],
}


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_schemathesis_finds_nothing(case):
    case.call_and_validate(excluded_checks=EXCLUDED.get(case.path, []))
