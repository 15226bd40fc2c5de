"""The simulated world: a room, the robot's base, contacts and its camera. Steppable, seeded, no ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import ROBOT_RADIUS, DiffDrive, DriveConfig, Pose2D, Velocity
from .gl import load_mujoco
from .rendering import OffscreenRenderer
from .scene import Scene, SceneObject, Surface
from .textures import paint

CAMERA_WIDTH, CAMERA_HEIGHT = 160, 120  # pixels
CAMERA_HFOV = math.radians(90.0)
CAMERA_FORWARD = 0.10  # m ahead of the robot's centre
LIDAR_HEIGHT = 0.2  # m above the robot's centre on the floor, where everything in the room is at its widest or near it
LIDAR_RAYS = 360  # a turn
LIDAR_RANGE = (0.1, 10.0)  # m
PHYSICS_PERIOD = 0.01  # s
WALL_HEIGHT = 1.8  # m
TOP_VIEW_HEIGHT = 12.0  # m above the floor: far, so that tall things lean little
TOP_VIEW_MARGIN = 1.06
TOP_VIEW_SIZE = 480  # pixels a side
FLOOR_LABEL, WALL_LABEL = 254, 255
ROBOT_GROUP = 4  # geoms that the robot's own camera does not see
CONE_SIDES = 24
CEILING_GROUP = 5  # geoms that the view from above does not see


@dataclass(frozen=True)
class CameraIntrinsics:
    """Pinhole intrinsics without distortion, in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


class World:
    """One room with one robot.

    Attributes:
        drive: the base; recordings set its `disturbance`.
        time: simulated s since the start.
        touched: what the robot ran into during the last `step`: an object's name, "wall", or None.
    """

    def __init__(self, scene: Scene, *, seed: int = 0) -> None:
        """Build the room and the renderer.

        Args:
            scene: what is in the room.
            seed: of the textures' grain.

        Raises:
            RendererError: the library for offscreen rendering is missing; the message names its package.
        """
        self._mujoco: Any = load_mujoco()
        self.scene = scene
        self.drive = DiffDrive(scene.start_pose, DriveConfig())
        self.touched: str | None = None
        self._ticks = 0
        self._model, self._labels = _build(self._mujoco, scene, np.random.default_rng(seed))
        self._data = self._mujoco.MjData(self._model)
        self._renderer = OffscreenRenderer(self._model)
        self._robot = self._model.geom("robot").id
        self._body = self._model.body("robot").id
        self._place()

    @property
    def time(self) -> float:
        """Simulated s since the start."""
        return self._ticks * PHYSICS_PERIOD

    @property
    def pose(self) -> Pose2D:
        """Pose of the robot's centre in the room frame."""
        return self.drive.pose

    @property
    def velocity(self) -> Velocity:
        """Speed over ground in the robot's frame."""
        return self.drive.velocity

    def move_robot(self, pose: Pose2D) -> None:
        """Put the robot somewhere else, standing still (for views; driving is by `command` and `step`)."""
        self.drive.block(pose)
        self._place()

    def command(self, linear_x: float, angular_z: float) -> None:
        """Receive a speed command (m/s, rad/s) now.

        Raises:
            ValueError: a speed that is not finite.
        """
        self.drive.command(linear_x, angular_z, self.time)

    def step(self, duration: float) -> None:
        """Advance by `duration` s, in steps of 0.01 s. A robot that runs into something is stopped there.

        Raises:
            ValueError: `duration` is not a whole number of steps.
        """
        steps = round(duration / PHYSICS_PERIOD)
        if steps < 0 or abs(steps * PHYSICS_PERIOD - duration) > 1e-9:
            raise ValueError(f"duration {duration} s must be a multiple of {PHYSICS_PERIOD} s")
        self.touched = None
        for _ in range(steps):
            before = self.drive.pose
            self.drive.step(self.time, PHYSICS_PERIOD)
            self._ticks += 1
            self._place()
            touched = self._contact()
            if touched is not None:
                self.touched = touched
                self.drive.block(before)
                self._place()

    def render(self) -> NDArray[np.uint8]:
        """Picture of the robot's camera, RGB uint8 (120, 160, 3)."""
        return self._renderer.picture(self._data, "camera", CAMERA_WIDTH, CAMERA_HEIGHT, hidden_group=ROBOT_GROUP)

    def segment(self) -> NDArray[np.uint8]:
        """What each pixel of the camera shows: uint8 (120, 160).

        0 nothing, i + 1 for scene.objects[i], 254 floor, 255 wall.
        """
        geoms = self._renderer.geom_ids(self._data, "camera", CAMERA_WIDTH, CAMERA_HEIGHT, hidden_group=ROBOT_GROUP)
        return np.asarray(self._labels[geoms], dtype=np.uint8)  # -1, the background, is the last label: 0

    def scan(self) -> NDArray[np.float32]:
        """Ranges of a 2-D lidar on the robot, m, float32 (360,); inf where nothing is within its range.

        The first ray points backwards (-pi in the robot's frame), the others follow counter-clockwise.
        """
        angles = self.pose.yaw + np.linspace(-math.pi, math.pi, LIDAR_RAYS, endpoint=False)
        rays = np.stack([np.cos(angles), np.sin(angles), np.zeros(LIDAR_RAYS)], axis=1)
        place = np.array([self.pose.x, self.pose.y, LIDAR_HEIGHT])
        found, geoms = np.full(LIDAR_RAYS, -1.0), np.full(LIDAR_RAYS, -1, dtype=np.int32)
        self._mujoco.mj_multiRay(
            self._model, self._data, place, rays.ravel(), None, True, self._body, geoms, found, None, LIDAR_RAYS,
            LIDAR_RANGE[1],
        )  # fmt: skip
        near, far = LIDAR_RANGE
        return np.where((found < near) | (found > far), np.inf, found).astype(np.float32)

    def camera_info(self) -> CameraIntrinsics:
        """Intrinsics of the robot's camera."""
        focal = CAMERA_WIDTH / 2.0 / math.tan(CAMERA_HFOV / 2.0)
        return CameraIntrinsics(CAMERA_WIDTH, CAMERA_HEIGHT, focal, focal, CAMERA_WIDTH / 2.0, CAMERA_HEIGHT / 2.0)

    def top_view(self) -> NDArray[np.uint8]:
        """The room from above with the robot in it, RGB uint8 (480, 480, 3); x to the right, y up."""
        return self._renderer.picture(self._data, "top", TOP_VIEW_SIZE, TOP_VIEW_SIZE, hidden_group=CEILING_GROUP)

    def top_view_pixel(self, x: float, y: float) -> tuple[float, float]:
        """Column and row in `top_view` of a point on the floor (m, room frame)."""
        scale = TOP_VIEW_SIZE / (max(self.scene.size) * TOP_VIEW_MARGIN)
        return TOP_VIEW_SIZE / 2.0 + x * scale, TOP_VIEW_SIZE / 2.0 - y * scale

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _place(self) -> None:
        self._data.qpos[:3] = self.drive.pose
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)

    def _contact(self) -> str | None:
        self._mujoco.mj_collision(self._model, self._data)
        for number in range(self._data.ncon):
            contact = self._data.contact[number]
            if contact.dist < 0.0 and self._robot in (contact.geom1, contact.geom2):
                other = contact.geom2 if contact.geom1 == self._robot else contact.geom1
                name = str(self._model.geom(other).name)
                return "wall" if name.startswith("wall") else name
        return None


def _build(mujoco: Any, scene: Scene, rng: np.random.Generator) -> tuple[Any, NDArray[np.uint8]]:
    """Compile the room; the model, and the label of each geom id (one more entry for the background: 0)."""
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = spec.visual.global_.offheight = TOP_VIEW_SIZE
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.headlight.ambient = [scene.lighting.ambient] * 3
    spec.visual.headlight.diffuse = [0.1] * 3
    spec.visual.headlight.specular = [0.0] * 3
    spec.visual.map.znear = 0.005
    spec.stat.extent = 5.0
    world = spec.worldbody
    world.add_light(
        pos=scene.lighting.position,
        dir=[0.0, 0.0, -1.0],
        diffuse=scene.lighting.diffuse,
        specular=[0.1] * 3,
        cutoff=180.0,
        castshadow=False,
    )
    half_x, half_y = scene.size[0] / 2, scene.size[1] / 2
    _add_material(mujoco, spec, "floor", scene.floor, rng)
    _add_material(mujoco, spec, "walls", scene.walls, rng)
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    world.add_geom(name="floor", type=plane, size=[half_x, half_y, 0.1], material="floor", contype=0, conaffinity=0)
    world.add_geom(
        name="ceiling",
        type=plane,
        size=[half_x, half_y, 0.1],
        pos=[0.0, 0.0, WALL_HEIGHT],
        quat=[0.0, 1.0, 0.0, 0.0],
        group=CEILING_GROUP,
        rgba=[*scene.walls.rgb[0], 1.0],
        contype=0,
        conaffinity=0,
    )
    # Planes face inwards, so that the view from above looks through them.
    for number, (place, across, heading) in enumerate(
        (
            ((half_x, 0.0), half_y, math.pi),
            ((0.0, half_y), half_x, -math.pi / 2),
            ((-half_x, 0.0), half_y, 0.0),
            ((0.0, -half_y), half_x, math.pi / 2),
        )
    ):
        inward = (math.cos(heading), math.sin(heading))
        world.add_geom(
            name=f"wall{number}",
            type=plane,
            size=[across, WALL_HEIGHT / 2, 0.1],
            pos=[*place, WALL_HEIGHT / 2],
            quat=_orientation(mujoco, (-inward[1], inward[0], 0.0), (0.0, 0.0, 1.0)),
            material="walls",
        )
    for item in scene.objects:
        _add_object(mujoco, spec, item)
    _add_robot(mujoco, spec, scene)
    world.add_camera(
        name="top",
        pos=[0.0, 0.0, TOP_VIEW_HEIGHT],
        fovy=math.degrees(2.0 * math.atan(max(scene.size) * TOP_VIEW_MARGIN / 2.0 / TOP_VIEW_HEIGHT)),
    )
    model = spec.compile()
    labels = np.zeros(model.ngeom + 1, dtype=np.uint8)
    labels[model.geom("floor").id] = FLOOR_LABEL
    for number in range(4):
        labels[model.geom(f"wall{number}").id] = WALL_LABEL
    for number, item in enumerate(scene.objects):
        labels[model.geom(item.name).id] = number + 1
    return model, labels


def _add_material(mujoco: Any, spec: Any, name: str, surface: Surface, rng: np.random.Generator) -> None:
    picture = paint(surface, rng)
    spec.add_texture(
        name=name,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=picture.shape[1],
        height=picture.shape[0],
        nchannel=3,
        data=picture.ravel().tolist(),
    )
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name
    spec.add_material(name=name, textures=textures, texrepeat=[surface.repeat] * 2, specular=0.1, shininess=0.1)


def _add_object(mujoco: Any, spec: Any, item: SceneObject) -> None:
    half = item.height / 2.0
    common = {
        "name": item.name,
        "pos": [item.x, item.y, half],
        "quat": [math.cos(item.yaw / 2.0), 0.0, 0.0, math.sin(item.yaw / 2.0)],
        "rgba": [*item.rgb, 1.0],
    }
    kinds = mujoco.mjtGeom
    if item.shape == "box":
        side = item.radius / math.sqrt(2.0)
        spec.worldbody.add_geom(type=kinds.mjGEOM_BOX, size=[side, side, half], **common)
    elif item.shape == "ball":
        spec.worldbody.add_geom(type=kinds.mjGEOM_SPHERE, size=[half, 0.0, 0.0], **common)
    elif item.shape == "cylinder":
        spec.worldbody.add_geom(type=kinds.mjGEOM_CYLINDER, size=[item.radius, half, 0.0], **common)
    elif item.shape == "cone":
        spec.add_mesh(name=item.name, uservert=_cone(item.radius, item.height).ravel().tolist())
        # The compiler corrects for a mesh's centre of mass: this is where the base stands.
        common["pos"] = [item.x, item.y, 0.0]
        spec.worldbody.add_geom(type=kinds.mjGEOM_MESH, meshname=item.name, **common)
    else:
        raise ValueError(f"shape {item.shape!r} is not known")


def _cone(radius: float, height: float) -> NDArray[np.float64]:
    """Corner points of a cone with its base at z 0; MuJoCo takes their convex hull."""
    angles = np.linspace(0.0, math.tau, CONE_SIDES, endpoint=False)
    base = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(CONE_SIDES)], axis=1)
    return np.concatenate([base, [[0.0, 0.0, height]]])


def _add_robot(mujoco: Any, spec: Any, scene: Scene) -> None:
    """The robot as a body that its base places: two slides and a hinge, a round hull and a camera."""
    robot = spec.worldbody.add_body(name="robot")
    for name, axis in (("x", [1.0, 0.0, 0.0]), ("y", [0.0, 1.0, 0.0])):
        robot.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
    robot.add_joint(name="yaw", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0.0, 0.0, 1.0])
    robot.add_geom(
        name="robot",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[ROBOT_RADIUS, 0.1, 0.0],
        pos=[0.0, 0.0, 0.13],
        rgba=[0.1, 0.1, 0.12, 1.0],
        group=ROBOT_GROUP,
    )
    robot.add_geom(
        name="heading",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.09, 0.03, 0.01],
        pos=[0.08, 0.0, 0.24],
        rgba=[0.0, 0.9, 0.9, 1.0],
        group=ROBOT_GROUP,
        contype=0,
        conaffinity=0,
    )
    pitch = scene.camera.pitch
    vertical_fov = 2.0 * math.atan(math.tan(CAMERA_HFOV / 2.0) * CAMERA_HEIGHT / CAMERA_WIDTH)
    robot.add_camera(
        name="camera",
        pos=[CAMERA_FORWARD, 0.0, scene.camera.height],
        quat=_orientation(mujoco, (0.0, -1.0, 0.0), (math.sin(pitch), 0.0, math.cos(pitch))),
        fovy=math.degrees(vertical_fov),
    )


def _orientation(
    mujoco: Any, x_axis: tuple[float, float, float], y_axis: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Quaternion (w, x, y, z) of a frame with these two axes."""
    axes = np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, axes.ravel())
    return quaternion
