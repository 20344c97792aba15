import pytest

from softanswer.settings import InvalidSettings, Settings


def test_defaults_serve_on_loopback(monkeypatch):
    monkeypatch.delenv("SOFTANSWER_LOG_LEVEL")
    settings = Settings.from_environment()
    assert (settings.host, settings.port, settings.max_chars) == ("127.0.0.1", 8080, 20_000)
    assert settings == Settings()


def test_the_start_fails_with_every_fault(monkeypatch):
    monkeypatch.setenv("SOFTANSWER_PORT", "99999")
    monkeypatch.setenv("SOFTANSWER_MAX_CHARS", "0")
    monkeypatch.setenv("SOFTANSWER_LOG_LEVEL", "loud")
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment()
    for name in ("PORT", "MAX_CHARS", "LOG_LEVEL"):
        assert f"SOFTANSWER_{name}: " in str(caught.value)
