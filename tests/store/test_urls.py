"""A database's password is in no text that is shown."""

import pytest

from loadgen.errors import StoreError
from loadgen.store.repository import Store
from loadgen.store.urls import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@h/db", "postgresql://u:***@h/db"),
        ("postgresql+psycopg://u:s3@cr/et:?@h:5/db?x=1", "postgresql+psycopg://u:***@h:5/db?x=1"),
        ("postgresql://:s3cret@h/db", "postgresql://:***@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?user=u&password=s3cret&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("postgresql://h/db?sslpassword=s3cret", "postgresql://h/db?sslpassword=***"),
        ("u:s3cret@h/db", "***@h/db"),
        ("postgresql:/u:s3cret@h/db", "***@h/db"),
        ("host=h password=s3cret", "host=h password=***"),
        ("sqlite:///loadgen.db", "sqlite:///loadgen.db"),
        ("sqlite:////x/a@b.db?timeout=3", "sqlite:////x/a@b.db?timeout=3"),
        ("results", "results"),
    ],
)
def test_the_password_is_hidden_and_the_rest_is_not(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@127.0.0.1:9/db?connect_timeout=2",
        "postgresql://127.0.0.1:9/db?password=s3cret&connect_timeout=2",
        "postgresql://u:s3cret@h:port/db",
        "sqlite://u:s3cret@h/x.db",
        "sqlite://u:s3cret@/x.db",
        "mysql://u:s3cret@h/db",
        "u:s3cret@h/db",
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_no_complaint_of_the_store_has_it(url: str, read_only: bool) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(url, read_only=read_only)
    assert "s3cret" not in str(caught.value)
