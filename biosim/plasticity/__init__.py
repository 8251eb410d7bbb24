"""The neuron-synapse-astrocyte plasticity network: neurons, facilitation of synapses, astrocyte processes.

A macro model, independent of the tripartite synapse with its calcium. `network` holds the equations, `energy` the function
that they descend, `cycles` the protocol ``stp_cycles``, `retention` what follows from its long-term curve.
"""
