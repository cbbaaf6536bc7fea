"""What can be told of a profile before it is served: whether it fits, whether its model is meant, whether vLLM takes its flags.

A mistake in the file itself raises while it is read; here are findings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadgen.errors import ModelError
from loadgen.moe.hardware import card_memory_bytes
from loadgen.moe.models import model
from loadgen.servers.profiles import subject
from loadgen.servers.profiles.command import arguments, argv, environment
from loadgen.servers.profiles.flag_syntax import wrong_lengths
from loadgen.servers.profiles.layout import layout
from loadgen.servers.profiles.memory_fit import Memory, memory
from loadgen.servers.profiles.profile_file import ProfileFile
from loadgen.servers.profiles.schema import ServerProfile, fits
from loadgen.servers.profiles.vllm_parser import Parsed, Vllm, wrong_arguments
from loadgen.servers.redaction import secrets_of, without

Severity = Literal["error", "unchecked", "note"]
"""It cannot be served so; it could not be looked at; it can be served, and this is good to know."""


@dataclass(frozen=True, slots=True)
class ProfileFinding:
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class CheckedProfile:
    """A profile, or the name of a file that is none, with all that was found."""

    name: str
    findings: tuple[ProfileFinding, ...]

    @property
    def status(self) -> Literal["ok", "unchecked", "error"]:
        """As bad as the worst finding; a note leaves it ok."""
        severities = {finding.severity for finding in self.findings}
        return "error" if "error" in severities else "unchecked" if "unchecked" in severities else "ok"

    def to_json(self) -> dict[str, object]:
        """One entry of `profiles` in `profiles check --json`."""
        found = [{"severity": finding.severity, "message": finding.message} for finding in self.findings]
        return {"name": self.name, "status": self.status, "findings": found}


def is_served_by_vllm(profile: ServerProfile) -> bool:
    """Whether its arguments are those of `vllm serve`."""
    return profile.engine == "vllm" and profile.launcher in ("local", "compose") and profile.unservable is None


def commands(files: Sequence[ProfileFile], release: str) -> dict[str, list[str]]:
    """For vLLM's parser: the words after `vllm` of every profile that this release of it is to serve."""
    return {
        file.profile.name: argv(file.profile.model_copy(update={"model": file.profile.model or "any"}), release)[1:]
        for file in files
        if is_served_by_vllm(file.profile) and fits(release, file.profile.releases)
    }


def findings(file: ProfileFile, vllm: Vllm | None, parsed: Parsed | None) -> list[ProfileFinding]:
    """All that there is to say, mistakes first. An abstract profile is not whole: of it only the flags are looked at."""
    profile = file.profile
    if profile.unservable is not None:
        return [ProfileFinding("note", f"cannot be served: {profile.unservable}")]
    if (unknown := _unknown_architecture(file)) is not None:
        return [ProfileFinding("error", unknown)]
    if not is_served_by_vllm(profile):
        return []
    found = _of_parser(file, vllm, parsed)
    if all(finding.severity != "error" for finding in found):
        found += _of_lengths(file)
    wrong_flags = any(finding.severity == "error" for finding in found)  # by which no memory can be reckoned
    if not profile.abstract:
        found += [*_of_model(file), *([] if wrong_flags else [*_of_context(file), *_of_memory(file, vllm)])]
    return sorted(found, key=lambda finding: ("error", "unchecked", "note").index(finding.severity))


def gpus_of(profile: ServerProfile) -> int | None:
    """The GPUs over which the arguments of a profile spread its model; None where they are not vLLM's. ModelError."""
    if not is_served_by_vllm(profile):
        return None
    return layout(arguments(profile)).parallelism.gpus


def cannot_take(profile: ServerProfile, asked_tokens: int) -> str | None:
    """Why a request of so many tokens is refused, by the arguments or the model's own maximum; None where neither is known."""
    return subject.too_long(profile, asked_tokens) if is_served_by_vllm(profile) else None


def does_not_fit(profile: ServerProfile) -> str | None:
    """Why the server cannot start, by its lengths and the arithmetic of its memory; None where that is not known."""
    if not is_served_by_vllm(profile):
        return None
    wrong = next(iter(wrong_lengths(arguments(profile)).items()), None)
    if wrong is not None:
        return " ".join(wrong)
    try:
        fit = resources(profile, None)
    except ModelError as error:
        return str(error)
    return (None if fit is None else fit.problem) or subject.refused_max_model_len(profile)


def resources(profile: ServerProfile, release: str | None) -> Memory | None:
    """The memory arithmetic; None on a processor, and where model or precision are not known. ModelError as `memory`."""
    if profile.needs is None or not profile.needs.gpus or profile.needs.gpu_memory_gb is None:
        return None
    flags = arguments(profile, release)
    served, laid_out = subject.architecture_of(profile, flags), layout(flags)
    own = subject.known_context(profile, flags)
    if laid_out.max_model_len is None and not laid_out.is_length_chosen and own is not None:
        laid_out = replace(laid_out, max_model_len=own.default)
    draft = None if laid_out.draft_model is None else subject.draft_of(laid_out.draft_model)
    return None if served is None else memory(served, laid_out, card_memory_bytes(profile.needs.gpu_memory_gb), draft)


def _unknown_architecture(file: ProfileFile) -> str | None:
    if file.profile.architecture is None:
        return None
    try:
        model(file.profile.architecture)
    except ModelError as error:
        return f"{file.origin.name('architecture')}: {error}"
    return None


def _of_model(file: ProfileFile) -> list[ProfileFinding]:
    profile, origin = file.profile, file.origin
    try:
        sentences = [subject.wrong_model(profile, origin)]
        draft = layout(profile.arguments).draft_model
        if draft is not None:
            sentences.append(subject.nearly_known(draft, origin.name("arguments.speculative-config.model")))
    except ModelError as error:
        return [ProfileFinding("error", f"{origin.name('model')}: {error}")]
    found = [ProfileFinding("error", sentence) for sentence in sentences if sentence is not None]
    if subject.is_path(profile.model) and subject.folder_of(profile.model) is None:
        found.append(
            ProfileFinding("unchecked", f"{origin.name('model')} is {profile.model}, a folder that is not here")
        )
    return found


def _of_lengths(file: ProfileFile) -> list[ProfileFinding]:
    """Lengths and counts that vLLM's parser would refuse, also where no vLLM is installed."""
    wrong = wrong_lengths(file.profile.arguments)
    return [ProfileFinding("error", f"{file.origin.name(f'arguments.{flag}')} {why}") for flag, why in wrong.items()]


def _of_context(file: ProfileFile) -> list[ProfileFinding]:
    refused = subject.refused_max_model_len(file.profile)
    return [] if refused is None else [ProfileFinding("error", refused)]


def _of_memory(file: ProfileFile, vllm: Vllm | None) -> list[ProfileFinding]:
    profile, origin = file.profile, file.origin
    if profile.needs is None or not profile.needs.gpus:
        return []
    release = None if vllm is None or not fits(vllm.release, profile.releases) else vllm.release
    found = []
    try:
        gpus = layout(arguments(profile, release)).parallelism.gpus
        if gpus != profile.needs.gpus:
            sentence = (
                f"{origin.name('needs.gpus')} is {profile.needs.gpus}, and the arguments spread the model over {gpus}"
            )
            found.append(ProfileFinding("error", sentence))
        fit = resources(profile, release)
    except ModelError as error:
        return [*found, ProfileFinding("error", str(error))]
    if fit is None:
        return [
            *found,
            ProfileFinding("unchecked", "whether it fits the memory: its model or its precision is not known here"),
        ]
    if fit.problem is not None:
        return [*found, ProfileFinding("error", fit.problem)]
    return [*found, *([] if fit.remark is None else [ProfileFinding("note", fit.remark)])]


def _of_parser(file: ProfileFile, vllm: Vllm | None, parsed: Parsed | None) -> list[ProfileFinding]:
    profile = file.profile
    if vllm is None or parsed is None:
        return []
    if not fits(vllm.release, profile.releases):
        sentence = f"by the parser: the profile is for vLLM {profile.releases}, and {vllm.release} is installed"
        return [ProfileFinding("unchecked", sentence)]
    given, variables = arguments(profile, vllm.release), environment(profile, vllm.release)
    wrong = wrong_arguments(given, variables, parsed.complaints.get(profile.name), parsed, file.origin)
    secrets = [*secrets_of(given), *secrets_of(variables)]
    return [ProfileFinding("error", without(sentence, secrets)) for sentence in wrong]
