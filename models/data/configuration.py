"""Where episodes come from and where they are converted to: strict, typed, told apart by `type`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from ..configuration import Strict
from ..documents import findings, read_yaml
from ..errors import DataError
from ..images import MAX_SIZE, ImageRules

TwistName = Literal["linear_x", "linear_y", "linear_z", "angular_x", "angular_y", "angular_z"]
_UNITS = {"linear_": "m/s", "angular_": "rad/s"}


class InstructionTopic(Strict):
    """Each std_msgs/String on a topic begins an episode; one that is empty or means stop only ends the last.

    `same_instruction_timeout`: seconds after which the same sentence again begins another episode, counted from its
    last message and from the last command that moves the robot; 0: each message begins one. `stop_sentences`: "keep"
    makes sentences that mean stop episodes like any other.
    """

    type: Literal["topic"] = "topic"
    topic: str = "/instruction"
    same_instruction_timeout: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 5.0
    stop_sentences: Literal["end", "keep"] = "end"


class InstructionFile(Strict):
    """A text file in the folder of the bag holds one sentence for all of it."""

    type: Literal["file"]
    name: str = "instruction.txt"


class InstructionMetadata(Strict):
    """A key of `custom_data` in the bag's metadata.yaml holds one sentence for all of it."""

    type: Literal["metadata"]
    key: str = "instruction"


BagInstruction = Annotated[InstructionTopic | InstructionFile | InstructionMetadata, Field(discriminator="type")]


Size = Annotated[int, Field(ge=1, le=65535)]


class Source(Strict):
    """What every source has: `max_image_width` and `max_image_height` in pixels; larger images are left out."""

    max_image_width: Size = MAX_SIZE
    max_image_height: Size = MAX_SIZE


class Rosbag2Source(Source):
    """One rosbag2 recording (sqlite3 or MCAP, compressed or not), or a folder of such.

    `cameras`: topics of sensor_msgs/Image or CompressedImage by the policy's names; where a topic is not recorded, its
    `/compressed` is taken. `command`: Twist or TwistStamped. `actions`: the velocities that are commanded; a command
    with another one is refused. `odometry`: nav_msgs/Odometry. `stamps`: "header" are those that the policy is gated
    by; "received" where the headers hold none. `encoding`: of all images, in the place of what their messages say, such
    as bgr8 where they say 8UC3, or where red and blue are exchanged; it turns no depth into a picture.
    """

    type: Literal["rosbag2"]
    path: Path
    cameras: dict[str, str] = Field(min_length=1)
    command: str = "/cmd_vel"
    actions: tuple[TwistName, ...] = Field(default=("linear_x", "angular_z"), min_length=1)
    odometry: str | None = None
    instruction: BagInstruction = InstructionTopic()
    stamps: Literal["header", "received"] = "header"
    encoding: str = ""

    @field_validator("encoding")
    @classmethod
    def _supported(cls, encoding: str) -> str:
        return ImageRules(encoding).encoding

    @property
    def rules(self) -> ImageRules:
        """What its images may be."""
        return ImageRules(self.encoding, self.max_image_width, self.max_image_height)

    @model_validator(mode="after")
    def _different_topics(self) -> Rosbag2Source:
        topics = [*self.cameras.values(), self.command]
        topics += [] if self.odometry is None else [self.odometry]
        topics += [self.instruction.topic] if isinstance(self.instruction, InstructionTopic) else []
        twice = [topic for topic, count in Counter(topics).items() if count > 1]
        if twice:
            raise ValueError(f"the topic {twice[0]} is given twice")
        return self


class Column(Strict):
    """One column of stored numbers: `scale` is what a stored 1 is in `unit`."""

    name: str
    unit: str
    scale: float

    @model_validator(mode="after")
    def _si(self) -> Column:
        for prefix, unit in _UNITS.items():
            if self.name.startswith(prefix) and self.unit != unit:
                raise ValueError(f"{self.name} is in {unit}, not {self.unit!r}: give the scale that makes it so")
        if self.scale == 0.0:
            raise ValueError(f"{self.name}: scale must not be 0")
        return self


class StoredSignal(Strict):
    """An array of numbers in a file: its key and, in order, what its columns are."""

    key: str
    columns: tuple[Column, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> StoredSignal:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"columns must have names of their own, got {self.names}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)


class InstructionDataset(Strict):
    """A dataset of the file holds the sentence."""

    type: Literal["dataset"]
    key: str = "language_instruction"


class InstructionScenario(Strict):
    """The scenario in the name of the file, `episode_<date>_<time>_<scenario>[_core|_variant_...]`, stands for one."""

    type: Literal["scenario"]
    instructions: dict[str, str] = Field(min_length=1)


FileInstruction = Annotated[InstructionDataset | InstructionScenario, Field(discriminator="type")]

# What such files are known to hold. Never taken for granted: two that look alike may differ in it.
_KNOWN = {
    "dt": "seconds between rows (event-driven recordings: about 0.7 to 0.86), or null for files that hold true times",
    "color": "the recorder of the mobile VLA episodes stored bgr",
    "actions": "there: key actions, columns linear_x (m/s), linear_y (m/s), angular_z (rad/s), scale 1.0 each",
    "episode_start": "the first row there is a frame with a zero action before any key was pressed: keep or drop it",
    "instruction": "type dataset (later files hold language_instruction) or type scenario (from the file's name)",
}


class Hdf5Source(Source):
    """One HDF5 file an episode, or a folder of such (*.h5, *.hdf5).

    `cameras`: datasets uint8 (t, h, w, 3) by the policy's names, e.g. `images` or `observations/images`; of several the
    first that is in the file. `dt`: seconds between rows; null: true times are in the file, under `times/`.
    `episode_start`: whether to keep the row whose `action_event_types` says so.
    """

    type: Literal["hdf5"]
    path: Path
    cameras: dict[str, str | tuple[str, ...]] = Field(min_length=1)
    color: Literal["rgb", "bgr"]
    dt: Annotated[float, Field(gt=0.0)] | None
    actions: StoredSignal
    odometry: StoredSignal | None = None
    episode_start: Literal["keep", "drop"]
    instruction: FileInstruction

    @model_validator(mode="before")
    @classmethod
    def _say_what_is_known(cls, data: Any) -> Any:
        if isinstance(data, dict):
            missing = [f"{key} must be given ({why})" for key, why in _KNOWN.items() if key not in data]
            if missing:
                raise ValueError("; ".join(missing))
        return data


class LeRobotSource(Source):
    """A LeRobot dataset, v2.1 or v3.0, with its pictures in videos or in the tables.

    `cameras`: features by the policy's names. `actions` and `odometry`: features, and what their columns are. `stamps`:
    "frame_rate" is LeRobot's own clock, frame / fps; "recorded" are the true times that a conversion keeps beside it.
    `color`: order of the stored colours; bgr where the dataset was written with red and blue exchanged.
    """

    type: Literal["lerobot"]
    path: Path
    cameras: dict[str, str] = Field(min_length=1)
    actions: StoredSignal
    odometry: StoredSignal | None = None
    stamps: Literal["frame_rate", "recorded"]
    color: Literal["rgb", "bgr"] = "rgb"

    @property
    def rules(self) -> ImageRules:
        """What its images may be."""
        return ImageRules("bgr8" if self.color == "bgr" else "", self.max_image_width, self.max_image_height)


SourceConfig = Annotated[Rosbag2Source | Hdf5Source | LeRobotSource, Field(discriminator="type")]


class Rosbag2Target(Strict):
    """A folder of rosbag2 recordings, one an episode; "raw" and "png" keep every pixel."""

    type: Literal["rosbag2"]
    storage: Literal["sqlite3", "mcap"] = "sqlite3"
    pictures: Literal["raw", "png", "jpeg"] = "png"


class Hdf5Target(Strict):
    """A folder of HDF5 files, one an episode; every pixel is kept."""

    type: Literal["hdf5"]


class LeRobotTarget(Strict):
    """A LeRobot dataset.

    `fps`: the rate of LeRobot's own clock; true times are kept beside. `pictures`: "lossless" (H.264 in RGB) and "png"
    (in the tables) keep every pixel, "lossy" is LeRobot's usual AV1.
    """

    type: Literal["lerobot"]
    version: Literal["v2.1", "v3.0"] = "v3.0"
    fps: int = Field(gt=0)
    pictures: Literal["lossless", "lossy", "png"] = "lossless"


TargetConfig = Annotated[Rosbag2Target | Hdf5Target | LeRobotTarget, Field(discriminator="type")]
_SOURCE: TypeAdapter[SourceConfig] = TypeAdapter(SourceConfig)
_TARGET: TypeAdapter[TargetConfig] = TypeAdapter(TargetConfig)


def read_source_config(path: Path) -> SourceConfig:
    """Read the configuration of a source from a YAML file; paths in it are relative to the working directory.

    Raises:
        DataError: missing file, not YAML, unknown or missing key, value out of range; each is named.
    """
    try:
        return _SOURCE.validate_python(read_yaml(path, DataError))
    except ValidationError as error:
        raise DataError(f"{path}: {findings(error)}") from error


def read_target_config(path: Path) -> TargetConfig:
    """Read the configuration of a target from a YAML file.

    Raises:
        DataError: as `read_source_config`.
    """
    try:
        return _TARGET.validate_python(read_yaml(path, DataError))
    except ValidationError as error:
        raise DataError(f"{path}: {findings(error)}") from error
