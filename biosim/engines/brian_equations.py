"""The equations of the Brian2 engine, as Brian2 reads them; the same as in `biosim.processes`, with physical units."""

NEURONS = """
{voltage}
dAG/dt = -AG/tau_AG : mmolar
PR : 1
gain : 1
eSP : 1 (linked)
weight : 1 (linked)
wait : 1
spikes : 1
quanta : 1
spikes_before : 1
spikes_until : 1
quanta_before : 1
quanta_until : 1
AG_sum : mmolar
jump_size : mmolar
PR_sum : 1
AG_last : mmolar
PR_last : 1
v_last : volt
tau_m : second (constant)
tau_AG : second (constant)
PR0 : 1 (constant)
K_AG : 1/mmolar (constant)
dAG : mmolar (constant)
jump : volt (constant)
v_th : volt (constant)
refractory_steps : 1 (constant)
"""

VOLTAGE = "dv/dt = -v/tau_m : volt"

# With a continuous current: the potential is advanced by DRIVEN_STEP, before anything else of the step.
DRIVEN_VOLTAGE = """
v : volt
v_start : volt
push : volt
share : 1
late : 1
crossed : 1
fraction : 1
membrane_decay : 1 (constant)
half_step : 1 (constant)
"""
DRIVEN_STEP = """
push = {push}
share = 1 - clip(wait, 0, 1)
v_start = v
v = v_start*membrane_decay + push*share*(1 + (1 - share)*half_step)
crossed = int(v >= v_th)
fraction = crossed*(v_th - v_start)/(v - v_start + (1 - crossed)*volt)
late = crossed*share*(1 - fraction)*(1 + fraction*share*half_step)
"""

# A depressing synapse holds its unrecovered resources w and its transmitter y, a neuron their sums W and Y.
DEPRESSING = """
dw/dt = (y - w)/tau_rec_post : 1 (clock-driven)
dy/dt = -y/tau_in_post : 1 (clock-driven)
"""
DEPRESSING_NEURONS = """
dY/dt = -Y/tau_in : 1
dW/dt = (Y - W)/tau_rec : 1
Y_last : 1
W_last : 1
tau_in : second (constant)
tau_rec : second (constant)
in_to_v : volt (constant)
"""
ON_SPIKE = """
freed = {released}*(1 - w)
w += freed
y += freed
Y_post += freed
W_post += freed
quanta_post += freed
"""
GATE = """
dgate/dt = -gate/tau_f + (1 - gate)*kappa_f*above : 1
Gate_last : 1
tau_f : second (constant)
kappa_f : hertz (constant)
"""

# IP3 on the fast clock: its equation by what produces it, and what else the astrocytes then hold.
IP3 = "dIP3/dt = (IP3_rest - IP3)/tau_IP3 + {production} : mmolar"
PRODUCTION = {
    "ag": ("r_IP3*AG_total", ""),
    "glutamate": (
        "r_IP3_y*Y_total",
        "dY_total/dt = -Y_total/tau_in : 1\nY_sum : 1\ntau_in : second (constant)\nr_IP3_y : mmolar/second (constant)\n",
    ),
    "spikes": ("0*mmolar/second", "dIP3 : mmolar (constant)\n"),
}

# The G-ChI astrocyte: receptors on the fast clock, with the quanta in the cleft that each neuron's synapses have released;
# IP3 is a state of the slow clock, and what the astrocytes hold of it is a copy.
GCHI_NEURONS = """
dcleft/dt = -cleft*Omega_c : 1
Omega_c : hertz (constant)
"""
GCHI_ASTROCYTES = """
Gamma : 1
Gamma_sum : 1
cleft_sum : 1
Y_cleft : mmolar
Gamma_last : 1
Y_cleft_last : mmolar
Ca_now : mmolar (linked)
Ca_slope : mmolar/second (linked)
IP3_now : mmolar (linked)
cleft_to_exposure : 1/mmolar (constant)
cleft_jump : mmolar (constant)
receptor_loss : 1 (constant)
zeta : 1 (constant)
K_KC : mmolar (constant)
"""
RECEPTOR_STEP = """
Ca_middle = Ca_now + Ca_slope*((t_in_timesteps % {ratio}) + 0.5)*dt
exposure = Y_cleft*cleft_to_exposure
both = exposure + receptor_loss*(1 + zeta*Ca_middle/(Ca_middle + K_KC))
settled = exposure/both
left = -expm1(-both)
Gamma_sum = Gamma_sum + settled + (Gamma - settled)*(left/both)
Gamma = Gamma + (settled - Gamma)*left
"""

# Each neuron holds the current that enters it, as the difference of two components; see `processes.sic`.
SIC = {
    "none": "",
    "instantaneous": """
sic_slow : amp
sic_fast : amp
sic_slow_to_v : ohm (constant)
sic_fast_to_v : ohm (constant)
SIC : amp (linked)
SIC_last : amp
""",
    "events": """
dsic_slow/dt = -sic_slow/tau_SIC_decay : amp
dsic_fast/dt = -sic_fast/tau_SIC_rise : amp
tau_SIC_decay : second (constant)
tau_SIC_rise : second (constant)
sic_event : amp (constant)
sic_slow_to_v : ohm (constant)
sic_fast_to_v : ohm (constant)
crossed_up : 1 (linked)
SIC_last : amp
""",
}
SIC_GAIN = "sic_slow*sic_slow_to_v - sic_fast*sic_fast_to_v"
SIC_TICK = {
    "none": "",
    "instantaneous": "sic_slow = SIC",
    "events": "sic_slow = sic_slow + sic_event*crossed_up\nsic_fast = sic_fast + sic_event*crossed_up",
}
# What the slow clock adds, beside the calcium equations.
SIC_CALCIUM = {
    "none": ("", ""),
    "instantaneous": (
        "SIC : amp\nSIC_scale : amp (constant)\nSIC_offset : mmolar (constant)\n",
        # At least one nanomolar above the offset, where the logarithm is zero.
        "SIC = SIC_scale*log(clip((Ca - SIC_offset)/(1e-6*mmolar), 1, inf))\n",
    ),
    "events": ("crossed_up : 1\n", "crossed_up = crossing\n"),
}

# Noise of the receptors: drawn from the state at the start of a step of calcium, added at its end.
NOISE = """
kick : 1
h_noise : second ** 0.5 (constant)
"""
NOISE_START = """
intensity = a2*(Q2*(1 - h) + Ca*h)
kick = int(t_in_timesteps > 0)*h_noise*sqrt(intensity)*randn()
"""
NOISE_END = "h = clip(h + kick, 0, 1)\n"

ASTROCYTES = """
dAG_total/dt = -AG_total/tau_AG : mmolar
{ip3}
dGlu/dt = -Glu/tau_Glu + drive : mmolar
{esp}
drive : mmolar/second
IP3_middle : mmolar
pulse : 1 (linked)
above : 1 (linked)
weight : 1 (linked)
Glu_sum : mmolar
eSP_sum : 1
IP3_last : mmolar
jump_size : mmolar
Glu_last : mmolar
eSP_last : 1
tau_AG : second (constant)
IP3_rest : mmolar (constant)
tau_IP3 : second (constant)
r_IP3 : 1/second (constant)
tau_Glu : second (constant)
dGlu : mmolar (constant)
r_Glu : mmolar/second (constant)
tau_eSP : second (constant)
m_eSP : 1/mmolar (constant)
"""

# IP3 in the step of calcium: through its values at the start, middle and end of the step.
IP3_GIVEN = """
s = (t - t_in_timesteps*dt)/dt : 1
IP3_t = IP3_start*(1 - s)*(1 - 2*s) + 4*IP3_middle*s*(1 - s) + IP3_end*s*(2*s - 1) : mmolar
IP3_middle : mmolar (linked)
IP3_end : mmolar (linked)
"""
# The G-ChI astrocyte's: a state, and the share of active receptors goes through three values.
IP3_GCHI = """
dIP3_t/dt = started*(O_beta*Gamma_t + phospholipase - kinase - Omega_5P*IP3_t) : mmolar
phospholipase = O_delta/(1 + IP3_t/kappa_delta)*Ca**2/(Ca**2 + K_delta**2) : mmolar/second
kinase = O_3K*Ca**4/(Ca**4 + K_D**4)*IP3_t/(IP3_t + K_3K) : mmolar/second
s = (t - t_in_timesteps*dt)/dt : 1
Gamma_middle = 0.25*(6*Gamma_sum/{ratio} - Gamma_start - Gamma_end) : 1
Gamma_t = Gamma_start*(1 - s)*(1 - 2*s) + 4*Gamma_middle*s*(1 - s) + Gamma_end*s*(2*s - 1) : 1
IP3_end = IP3_t : mmolar
Gamma_start : 1
Gamma_end : 1 (linked)
Gamma_sum : 1 (linked)
Ca_slope : mmolar/second
O_beta : mmolar/second (constant)
O_delta : mmolar/second (constant)
kappa_delta : mmolar (constant)
K_delta : mmolar (constant)
O_3K : mmolar/second (constant)
K_D : mmolar (constant)
K_3K : mmolar (constant)
Omega_5P : hertz (constant)
"""
# After everything else of a tick: the way that calcium takes until the next one, for the receptors.
GCHI_SLOPE = """
Ca_slope = (r_C*gate**3 + r_L)*(c0 - (1 + c1)*Ca) - v_ER*Ca**2/(k_ER**2 + Ca**2)
"""

CALCIUM = """
dCa/dt = started*((r_C*gate**3 + r_L)*(c0 - (1 + c1)*Ca) - v_ER*Ca**2/(k_ER**2 + Ca**2)) : mmolar
dh/dt = started*a2*(Q2 - (Q2 + Ca)*h) : 1
gate = IP3_t/(IP3_t + d1)*Ca/(Ca + d5)*h : 1
Q2 = d2*(IP3_t + d1)/(IP3_t + d3) : mmolar
{ip3}
started = int(t_in_timesteps > 0) : 1
IP3_start : mmolar
Ca_before : mmolar
jump_size : mmolar
pulse : 1
above : 1
latched : 1
timer : second
weight : 1
Ca_sum : mmolar
Ca_squares : mmolar**2
Ca_min : mmolar
Ca_max : mmolar
IP3_sum : mmolar
crossings : 1
first_crossing : second
last_crossing : second
r_C : 1/second (constant)
r_L : 1/second (constant)
v_ER : mmolar/second (constant)
k_ER : mmolar (constant)
c0 : mmolar (constant)
c1 : 1 (constant)
a2 : 1/mmolar/second (constant)
d1 : mmolar (constant)
d2 : mmolar (constant)
d3 : mmolar (constant)
d5 : mmolar (constant)
Ca_th : mmolar (constant)
release_period : second (constant)
"""

# A stored value and not a subexpression: synapses cannot see one that refers to a linked variable.
RELEASE_PROBABILITY = "PR = clip(PR0*(1 + (K_AG*AG + eSP)/100), 0, 1)"

# The same where the synapses of a neuron differ or fail; the part that is common to them.
GAIN = "gain = 1 + (K_AG*AG + eSP)/100"
SYNAPSES = """
base : 1 (constant)
stuck : 1 (constant)
"""
SYNAPSE_PROBABILITY = "clip(base*gain_post, 0, 1)*(1 - stuck*int(t_in_timesteps >= fault_step))"

ESP = {
    "ode": "deSP/dt = (-eSP + m_eSP*Glu)/tau_eSP : 1",
    "algebraic": "eSP : 1",
}

# What happens to glutamate at a tick, given `now` and `crossing` (0 or 1); see `processes.gliotransmission`.
RELEASE = {
    "upward": "pulse = crossing",
    "repeated": """
timer = (1 - crossing)*(timer - started*dt)
pulse = started*now*int(timer < 0.5*dt)
timer = timer + pulse*release_period
""",
    "latched": """
timer = timer - latched*dt
pulse = latched*int(timer < 0.5*dt)
timer = timer + pulse*release_period
newly = crossing*(1 - latched)
timer = newly*release_period + (1 - newly)*timer
latched = latched + newly
""",
    "continuous": "pulse = 0",
}

TICK = """
now = int(Ca >= Ca_th)
crossing = now*(1 - above)*started
weight = int(t_in_timesteps > n_settle)
moment = (t_in_timesteps - 1 + (Ca_th - Ca_before)/(Ca - Ca_before + int(Ca == Ca_before)*mmolar))*dt
first_crossing = first_crossing + weight*crossing*int(crossings == 0)*moment
last_crossing = last_crossing*(1 - weight*crossing) + weight*crossing*moment
crossings = crossings + weight*crossing
{release}
above = now
IP3_start = IP3_end
Ca_sum = Ca_sum + weight*Ca
Ca_squares = Ca_squares + weight*Ca**2
lower = weight*int(Ca < Ca_min)
Ca_min = lower*Ca + (1 - lower)*Ca_min
upper = weight*int(Ca > Ca_max)
Ca_max = upper*Ca + (1 - upper)*Ca_max
IP3_sum = IP3_sum + weight*IP3_end
"""
