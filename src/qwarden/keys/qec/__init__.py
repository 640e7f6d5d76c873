"""Error correction of entangled pairs: stabiliser codes and distillation, measured."""
