"""Settings: what is read, what is refused, and that README tells all of it."""

import re
from pathlib import Path

import pytest

from barber.errors import SettingsError
from barber.settings import Settings, bundles_dir

URL = "postgresql+psycopg2://barber:secret@127.0.0.1:5432/barber"
README = Path(__file__).parents[2] / "README.md"


def read(**variables: str) -> Settings:
    return Settings.from_env({"BARBER_DATABASE_URL": URL, "PATH": "/bin", **variables})


def test_variables_become_typed_fields() -> None:
    settings = read(BARBER_WINDOW="3", BARBER_LEASE_S="2.5", BARBER_HOME="/data")
    assert (settings.window, settings.lease_s) == (3, 2.5)
    assert settings.store_dir == Path("/data/store")


def test_own_bundles_lie_in_the_users_home_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    usual = Path("/home/ada/.local/share/barber/bundles")
    assert read().bundles_dir == bundles_dir({}) == usual
    told = {"BARBER_BUNDLES": "~/b"}
    assert read(**told).bundles_dir == bundles_dir(told) == Path("/home/ada/b")


def test_settings_survive_the_environment_of_a_child() -> None:
    settings = read(BARBER_DEVICE="cuda:0", BARBER_TICK_S="0.1", BARBER_FAILPOINT="align:mid")
    assert Settings.from_env(settings.to_env()) == settings


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"BARBER_DATABASE_URL": ""}, "BARBER_DATABASE_URL is not set"),
        ({"BARBER_DATABASE_URL": "postgresql://u@h/d"}, "must name its driver"),
        ({"BARBER_BROKER_URL": "sqs://"}, "BARBER_BROKER_URL starts with 'sqs'"),
        ({"BARBER_DATABASE_URL": URL.replace("5432", "abc")}, "BARBER_DATABASE_URL cannot be read"),
        ({"BARBER_WINDOW": "0"}, "BARBER_WINDOW is 0: give 1 or more"),
        ({"BARBER_TICK_S": "0"}, "BARBER_TICK_S is 0: give 0.01 or more"),
        ({"BARBER_WINDOW": "many"}, "BARBER_WINDOW is 'many'"),
        ({"BARBER_WINDOW": "1.5"}, "BARBER_WINDOW is '1.5'"),
        ({"BARBER_LEASE_S": "-1"}, "BARBER_LEASE_S is '-1'"),
        ({"BARBER_LEASE_S": "nan"}, "BARBER_LEASE_S is 'nan'"),
        ({"BARBER_WINDOWS": "1"}, "unknown setting BARBER_WINDOWS"),
    ],
)
def test_bad_variable_is_named(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(**variables)


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(read(BARBER_BROKER_URL="amqp://u:secret@h//"))


def test_readme_tells_every_setting_and_its_default() -> None:
    rows = dict(re.findall(r"^\| `(BARBER_\w+)` \| (.+?) \|", README.read_text(), re.MULTILINE))
    fields = {f"BARBER_{name.upper()}": f for name, f in Settings.__dataclass_fields__.items()}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        said = rows[name].strip("`")
        if name == "BARBER_DATABASE_URL":
            assert said == "none"
        elif field.default == "":
            assert said == "empty"
        else:
            shown = f"{field.default:g}" if isinstance(field.default, float) else field.default
            assert said == str(shown), name
