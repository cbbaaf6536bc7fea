"""Which servers a service may measure: what is listed, at addresses that are public or listed too, however they are written."""

import pytest

from loadgen.errors import ServerError, UsageError
from loadgen.service.targets import ForbiddenTargetError, LookUp, Targets


def says(*addresses: str) -> LookUp:
    return lambda host, port: list(addresses)


PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ("api.example.com", "https://api.example.com"),
        ("api.example.com", "http://api.example.com:9000"),
        ("api.example.com:9000", "http://api.example.com:9000"),
        ("https://api.example.com", "https://API.example.com./v1".replace("./", "/")),
        ("https://api.example.com", "https://api.example.com:443"),
        ("https://api.example.com/team/v1", "https://api.example.com/team"),
        ("API.Example.com.", "http://api.example.com"),
    ],
)
def test_what_is_listed_may_be_measured(rule: str, url: str) -> None:
    from loadgen.servers.server_url import normalise_url

    target = Targets.of([rule]).checked(normalise_url(url), says(PUBLIC))
    assert target.addresses == (PUBLIC,)
    assert target.name.startswith("api.example.com:")


@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ("api.example.com", "http://example.com"),
        ("api.example.com", "http://evil.api.example.com"),
        ("api.example.com", "http://api.example.com.evil.org"),
        ("api.example.com:9000", "http://api.example.com:9001"),
        ("https://api.example.com", "http://api.example.com:443"),
        ("https://api.example.com", "https://api.example.com:444"),
        ("https://api.example.com/team", "https://api.example.com/other"),
        ("93.184.216.34", "http://api.example.com"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("127.0.0.1", "http://localhost:8000"),
    ],
)
def test_what_is_not_listed_may_not(rule: str, url: str) -> None:
    with pytest.raises(ForbiddenTargetError, match="not on this service's list"):
        Targets.of([rule]).named(url)
    with pytest.raises(ForbiddenTargetError, match="not on this service's list"):
        Targets.of([rule]).checked(url, says(PUBLIC))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "0.0.0.0",
        "::",
        "10.1.2.3",
        "172.16.0.9",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.0.7",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "fc00::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
    ],
)
def test_a_listed_name_leads_to_no_address_that_is_not_public(address: str) -> None:
    targets = Targets.of(["api.example.com"])
    with pytest.raises(ForbiddenTargetError, match="stands for"):
        targets.checked("http://api.example.com", says(address))
    with pytest.raises(ForbiddenTargetError, match="stands for"):  # one of several is enough
        targets.checked("http://api.example.com", says(PUBLIC, address))


def test_a_name_that_changes_is_found_out_and_the_addresses_found_are_those_to_connect_to() -> None:
    targets, answers = Targets.of(["api.example.com"]), [[PUBLIC], ["169.254.169.254"]]

    def look_up(host: str, port: int) -> list[str]:
        return answers.pop(0)

    assert targets.checked("http://api.example.com", look_up).addresses == (PUBLIC,)
    with pytest.raises(ForbiddenTargetError, match=r"169\.254\.169\.254"):
        targets.checked("http://api.example.com", look_up)


def test_a_private_address_is_reached_when_it_is_listed_itself() -> None:
    by_name = Targets.of(["gpu.example:8000", "10.1.2.3"])
    assert by_name.checked("http://gpu.example:8000", says("10.1.2.3")).addresses == ("10.1.2.3",)
    with pytest.raises(ForbiddenTargetError):
        by_name.checked("http://gpu.example:8000", says("10.1.2.4"))
    by_network = Targets.of(["gpu.example", "10.0.0.0/8"])
    assert by_network.checked("http://gpu.example:8000", says("10.9.9.9")).addresses == ("10.9.9.9",)
    assert by_network.checked("http://10.0.0.1:8000", says("10.0.0.1")).name == "10.0.0.1:8000"


def test_an_address_listed_for_one_port_is_for_that_port_alone() -> None:
    targets = Targets.of(["http://127.0.0.1:8000", "api.example.com"])
    assert targets.checked("http://127.0.0.1:8000", says("127.0.0.1")).name == "127.0.0.1:8000"
    with pytest.raises(ForbiddenTargetError, match="this machine itself"):
        targets.checked("http://api.example.com:22", says("127.0.0.1"))


def test_localhost_stands_for_this_machine_and_shares_its_queue() -> None:
    targets = Targets.of(["localhost:8000"])
    target = targets.checked("http://localhost:8000", says("::1", "127.0.0.1"))
    assert target.name == "127.0.0.1:8000"
    with pytest.raises(ForbiddenTargetError):
        targets.checked("http://localhost:8000", says("10.0.0.1"))


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1"])
def test_a_whole_network_never_means_metadata_or_the_link(address: str) -> None:
    with pytest.raises(ForbiddenTargetError):
        Targets.of(["a.example", "0.0.0.0/0", "::/0"]).checked("http://a.example", says(address))
    assert Targets.of(["a.example", address]).checked("http://a.example", says(address)).addresses == (address,)


@pytest.mark.parametrize("url", ["http://0x7f000001:8000", "http://2130706433:8000", "http://127.1:8000"])
def test_strange_spellings_of_an_address_are_not_on_the_list(url: str) -> None:
    with pytest.raises(ForbiddenTargetError):
        Targets.of(["api.example.com"]).checked(url)


def test_a_key_goes_to_its_own_server_alone() -> None:
    targets = Targets.of(["https://api.example.com=EXAMPLE_KEY", "https://other.example.com"])
    assert targets.named("https://api.example.com").key_env == "EXAMPLE_KEY"
    assert targets.named("https://other.example.com").key_env is None


@pytest.mark.parametrize(
    "text", ["", "*", "*.example.com", "host/path", "ftp://host", "http://user:pw@host", "host=KEY", "http://h=a b"]
)
def test_a_bad_entry_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError):
        Targets.of([text])


def test_the_simulator_needs_no_entry_and_a_name_nobody_knows_is_said() -> None:
    assert Targets.of([]).checked("simulator").addresses == ()

    def unknown(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(ServerError, match="cannot be resolved"):
        Targets.of(["a.example"]).checked("http://a.example", unknown)
