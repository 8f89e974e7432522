"""What is secret in the URL of an index is never shown, however it was typed."""

import pytest

from ganhash_cli.engine.address import Address, is_url
from ganhash_cli.errors import UsageError

SECRETS = [
    ("postgresql://me:sesame@host/db", "sesame"),
    ("postgresql://me:sesame@host:5432/db?sslmode=require", "sesame"),
    ("postgresql://:sesame@host/db", "sesame"),
    ("postgresql://me:open%3Asesame@host/db", "open%3Asesame"),
    ("postgresql://me:op@en:se/sa?me#@host/db", "op@en:se/sa?me#"),
    ("postgresql://me:@@host/db", "@"),
    ("postgresql://host/db?user=me&password=sesame", "sesame"),
    ("postgresql://host/db?PASSWORD=sesame&x=1", "sesame"),
    ("milvus://host:19530?token=root:sesame", "root:sesame"),
    ("milvus://me:sesame@host?token=simsalabim", "simsalabim"),
]


@pytest.mark.parametrize(("url", "secret"), SECRETS)
def test_what_is_shown_holds_no_secret(url: str, secret: str) -> None:
    address = Address(url)
    for shown in (address.shown, str(address), repr(address)):
        assert secret not in shown.replace("***@", "")
        assert "***" in shown


@pytest.mark.parametrize(
    "url", ["postgresql://me@host:5432/db", "postgresql:///db?host=/run", "postgresql://host/a%40b"]
)
def test_a_url_without_a_secret_is_shown_as_it_is(url: str) -> None:
    assert (Address(url).shown, Address(url).url, Address(url).hide(url)) == (url, url, url)


@pytest.mark.parametrize(
    "said", ["wrong password open:sesame", "wrong password open%3Asesame", "wrong password open%3asesame"]
)
def test_what_another_program_says_is_hidden_quoted_or_not(said: str) -> None:
    for url in ("postgresql://me:open%3Asesame@host/db", "postgresql://me:open:sesame@host/db"):
        assert "sesame" not in Address(url).hide(said.replace("%3a", "%3A"))


def test_a_password_with_signs_of_a_url_is_quoted_for_the_client() -> None:
    assert Address("postgresql://me:p@ss/w@host/db").url == "postgresql://me:p%40ss%2Fw@host/db"
    assert Address("postgresql://me:p%40ss@host/db").url == "postgresql://me:p%40ss@host/db"


def test_a_port_is_no_password() -> None:
    assert Address("postgresql://host:5432/db?label=a@b").url == "postgresql://host:5432/db?label=a@b"


def test_an_at_sign_in_a_parameter_ends_no_password() -> None:
    address = Address("postgresql://me:p:w@host/db?label=a@b")
    assert address.url == "postgresql://me:p%3Aw@host/db?label=a@b"
    assert address.hide("label a@b of p:w") == "label a@b of ***"


@pytest.mark.parametrize("url", ["milvus://me:sam@host?token=sesame-sam", "milvus://me:sesame-sam@host?token=sam"])
def test_a_secret_that_holds_another_is_hidden_whole(url: str) -> None:
    assert Address(url).hide("sesame-sam and sam") == "*** and ***"


def test_a_secret_that_begins_as_a_shorter_one_is_hidden_whole() -> None:
    for url in ("milvus://me:open@host?token=openly", "milvus://me:openly@host?token=open"):
        assert Address(url).hide("openly and open") == "*** and ***"


def test_a_scheme_is_read_in_small_letters() -> None:
    assert Address("PostgreSQL://host/db").scheme == "postgresql"


def test_what_is_no_url_is_refused_without_its_secret() -> None:
    with pytest.raises(UsageError) as caught:
        Address("//me:sesame@host")
    assert caught.value.message == "//me:***@host is no URL"
    assert caught.value.hint == "for example postgresql://host/database"


def test_modes_and_files_are_no_urls() -> None:
    assert [is_url(text) for text in ("auto", "exact", "codes.h5", "C:\\codes", "memory://x")] == [*[False] * 4, True]


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [("50%off", "50%25off"), ("a%2fb", "a%2fb"), ("a%2Fb", "a%2Fb"), ("%", "%25"), ("%4g", "%254g")],
)
def test_a_percent_sign_that_quotes_nothing_is_quoted(typed: str, quoted: str) -> None:
    assert Address(f"postgresql://me:{typed}@host/photos").url == f"postgresql://me:{quoted}@host/photos"
