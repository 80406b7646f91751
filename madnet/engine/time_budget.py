"""A training that has minutes to spend instead of epochs."""

import statistics
import time
from collections import deque

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast, get_world_size

#: Steps of a process that are not timed: compilers, tuning and caches make them long.
_WARM_UP = 3
#: Largest share of the time so far that validations on the way, or saving, may have taken.
_VALIDATING, _SAVING = 0.1, 0.05
#: Least seconds between two checkpoints.
_PAUSE = 20.0
#: Seconds of a processor that the end of a run takes beside its validation and its checkpoint; Python's own.
_LEAVING = 1.0
#: Seconds between two looks of several processes: to share what one read, the device has to be waited for.
_LOOK = 0.2
#: A validation by the time of a few of its batches: there are pictures and a record beside.
_MARGIN = 1.1


class TimeBudget:
    """How much of a training's time is spent, over all the processes that have had a part in it.

    Clocks are read by :meth:`look` alone, once a step, of several processes a few times a second, and what
    the first process read holds for all: all else goes by that, so that several processes decide alike.

    Args:
        minutes: For all of it: reading data, training, validation, saving.

    Attributes:
        spent: Seconds, at the last look.
        end: When training has to end for its validation and its checkpoint to fit in, in seconds.
        set_up: Seconds that were spent when steps began to be timed, in the first process.
        validation, checkpoint: Seconds that one takes, as far as is known.
        over: Whether training has ended; then its share is 1.
    """

    def __init__(self, minutes: float):
        self.minutes = minutes
        self._began = time.monotonic()
        self._before = 0.0
        self._steps: deque[float] = deque(maxlen=20)
        self._unread = 0  # steps since the last look
        self._again = False  # whether to look at the next step, whatever it may take
        self._warm_up = _WARM_UP
        self._last_steps: deque[torch.cuda.Event] = deque()
        self.spent = 0.0
        self.end = 60 * minutes
        self.set_up: float | None = None
        self.validation = self.checkpoint = 0.0
        self._validated = self._saved = 0.0  # seconds in all; when the last checkpoint was written
        self.over = False

    def begin(self, began: float) -> None:
        """Say when this process began, of ``time.monotonic()``."""
        self._began = began

    def look(self, again: bool = False) -> None:
        """Read the clocks; ``again``: at the next step too, before which something else takes its time."""
        self._unread, self._again = 0, again
        spent = self._before + time.monotonic() - self._began
        # longer on a machine that others use, by as much as all has taken longer so far
        crowded = (time.monotonic() - self._began) / max(1e-9, time.process_time())
        found = (spent, crowded, self.validation, self._validated, self.checkpoint)
        if get_world_size() > 1:
            shared = torch.tensor(found, dtype=torch.float64, device=get_device())
            broadcast(shared)
            found = tuple(shared.tolist())
        spent, crowded, self.validation, self._validated, self.checkpoint = found
        self.spent = max(self.spent, spent)
        leaving = _LEAVING * min(8.0, max(1.0, crowded))
        self.end = 60 * self.minutes - self.validation - self.checkpoint - leaving

    def step_ended(self) -> None:
        """Look at the clocks, as a step is done, if it is time for it."""
        self._wait_for_the_device()
        self._unread += 1
        steps, before = self._unread, self.spent
        step = max(self._steps[-1], statistics.median(self._steps)) if self._steps else _LOOK
        if get_world_size() > 1 and not self._again and steps * step < _LOOK:
            return
        self.look()
        if self._warm_up:
            self._warm_up -= 1
        else:
            self._steps.append((self.spent - before) / steps)
        if not self._warm_up and self.set_up is None:
            self.set_up = self.spent

    def _wait_for_the_device(self) -> None:
        """Let it be two steps behind at most: steps are asked for long before they are done."""
        if torch.cuda.is_available():
            event = torch.cuda.Event()
            event.record()
            self._last_steps.append(event)
            if len(self._last_steps) > 2:
                self._last_steps.popleft().synchronize()

    @property
    def share(self) -> float:
        """How much of the time for training has passed, 0 to 1."""
        if self.over:
            return 1.0
        if self.set_up is None:
            return 0.0
        return min(1.0, (self.spent - self.set_up) / max(1e-9, self.end - self.set_up))

    def has_room_for_a_step(self) -> bool:
        """Whether another step ends nearer to the end of the time than none would."""
        step = statistics.median(self._steps) if self._steps else 0.0
        return self.spent + step / 2 < self.end

    def has_room_for_a_validation(self) -> bool:
        """Whether validations on the way have taken little so far, and the decay is not cut short by one."""
        little = self._validated + self.validation <= _VALIDATING * self.spent
        return little and self.spent + self.validation < self.end - 0.1 * 60 * self.minutes

    def has_room_for_a_checkpoint(self) -> bool:
        """Whether the last one is long enough ago."""
        return self.spent - self._saved >= max(_PAUSE, self.checkpoint / _SAVING)

    def expect_validation(self, seconds: float) -> None:
        """Say how long a validation is likely to take, before there has been one."""
        self.validation = self.validation or _MARGIN * seconds

    def has_validated(self, seconds: float) -> None:
        """Say how long one took; known to all at the next look."""
        self.validation = seconds
        self._validated += seconds

    def has_saved(self, seconds: float) -> None:
        """Say how long a checkpoint took; known to all at the next look."""
        self.checkpoint = max(seconds, self.checkpoint)
        self._saved = self.spent

    def state(self) -> dict[str, float | bool | None]:
        """For a checkpoint."""
        return {
            'minutes': self.minutes,
            'spent': self._before + time.monotonic() - self._began,
            'set_up': self.set_up,
            'validation': self.validation,
            'validated': self._validated,
            'checkpoint': self.checkpoint,
            'over': self.over,
        }

    def go_on(self, state: dict) -> None:
        """Take over what the processes before have spent."""
        self._before = self._saved = state['spent']
        self.set_up, self.validation, self.checkpoint = (
            state[key] for key in ('set_up', 'validation', 'checkpoint')
        )
        self._validated = state['validated']
        self.over = state['over']
        self.look()
