"""Server profiles: what is served, with what, and what it needs."""

from loadgen.servers.profiles.command import argv, environment
from loadgen.servers.profiles.profile_file import load_profile, profile_names
from loadgen.servers.profiles.schema import ServerProfile

__all__ = ["ServerProfile", "argv", "environment", "load_profile", "profile_names"]
