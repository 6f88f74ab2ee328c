"""The lab: trains, sweeps, judges and shows what the library makes. It needs the extra [lab]."""
