"""What may come in. The only place where an error about a shape, a mask or a setting is worded.

Every message names the layer, what was expected and what came, and suggests a fix. Settings are checked when a layer is
made, tensors when it is called.
"""

from agdt_layers.checks.masks import frame_mask as frame_mask
from agdt_layers.checks.masks import real_frames as real_frames
from agdt_layers.checks.settings import by_name as by_name
from agdt_layers.checks.settings import divides as divides
from agdt_layers.checks.settings import factory as factory
from agdt_layers.checks.settings import flag as flag
from agdt_layers.checks.settings import module as module
from agdt_layers.checks.settings import odd_kernel as odd_kernel
from agdt_layers.checks.settings import one_of as one_of
from agdt_layers.checks.settings import positive_integer as positive_integer
from agdt_layers.checks.settings import probability as probability
from agdt_layers.checks.settings import size as size
from agdt_layers.checks.tensors import clip_axis as clip_axis
from agdt_layers.checks.tensors import clips as clips
from agdt_layers.checks.tensors import example as example
from agdt_layers.checks.tensors import floating as floating
from agdt_layers.checks.tensors import fold as fold
from agdt_layers.checks.tensors import images as images
from agdt_layers.checks.tensors import module_device as module_device
from agdt_layers.checks.tensors import module_dtype as module_dtype
from agdt_layers.checks.tensors import parameter_dtype as parameter_dtype
from agdt_layers.checks.tensors import same_device as same_device
from agdt_layers.checks.tensors import sequence as sequence
from agdt_layers.checks.tensors import stream_state as stream_state
