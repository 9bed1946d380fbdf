"""The limits on the size of a model file, and of each thing in it. Whatever is larger is refused before it is loaded.

docs/reading_models.md lists these numbers and says where they come from.
"""

MOST_PARAMETERS = 2**26  # in arrays of one model, 256 MiB in single precision: more than any FPGA holds on its chip
MOST_NUMBERS = 2**28  # in one tensor, for one sample
LARGEST_EXTENT = 2**16  # of a tensor, a kernel, a number of filters or units
MOST_LAYERS = 1_000  # of a model with the models inside it, each as often as it is called
MOST_JOINED = 64  # tensors that one layer reads
MOST_PORTS = 64  # inputs, and outputs
MOST_STEPS = 2**17  # from a tensor to the layer that produces it, through models inside models
LARGEST_CONFIG = 8 * 2**20  # bytes of a configuration in JSON
DEEPEST_CONFIG = 100  # lists and dictionaries inside each other

LARGEST_MEMBER = 3 * 4 * MOST_PARAMETERS  # bytes in a zip archive: the parameters and both moments of Adam
LARGEST_EXPANSION = 100  # bytes that come out of one compressed byte
SMALL_MEMBER = 2**20  # bytes; smaller ones may expand as they like

MOST_LINKS = 4 * MOST_LAYERS  # in one HDF5 group
MOST_NAMES = MOST_LINKS  # of the arrays of one layer, which may be a model
LARGEST_CHUNK = 4 * MOST_PARAMETERS  # bytes of a chunk in HDF5

# Limits of the process that reads HDF5
SECONDS = 2  # of processor time
SLOWEST_READ = 2**26  # bytes per second, for large files
LARGEST_PROCESS = 2**30  # bytes of memory
