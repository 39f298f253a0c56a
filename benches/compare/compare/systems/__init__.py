"""One driver a system."""
from .gnocchi import Gnocchi
from .influx import Influx
from .nephos import Nephos
from .prometheus import Prometheus
from .victoria import Victoria

SYSTEMS = {s.name: s for s in (Nephos, Gnocchi, Victoria, Prometheus, Influx)}
