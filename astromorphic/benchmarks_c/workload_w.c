/* Workload W in C: what the compiled kernel of biosim.engines does, for one structure, as the limit to compare with.

   A unit is one neuron with SYNAPSES synapses on one astrocyte; Poisson input, continuous glutamate release, e-SP as a
   low-pass. The scheme is that of biosim/engines/numba_kernels.py: exact exponentials and the binomial release of one uniform
   number every neuron step, classical Runge-Kutta of calcium every astrocyte step, online statistics, float64. Blocks of
   LANES units advance in lockstep, so that the compiler vectorises over units. */

#include <math.h>
#include <stdint.h>

#define LANES 32
#define SYNAPSES 10 /* the powers of q below are written out for it */

/* Rows of `coef`, `state` and `stats`; benchmark_c.py names them in the same order. */
enum {
    MEMBRANE_DECAY, AG_DECAY, IP3_DECAY, AG_TO_IP3, GLU_DECAY, ESP_DECAY, GLU_TO_ESP, GLU_LEVEL, M_ESP, JUMP,
    INPUT_PROBABILITY, PR0, K_AG, DAG, V_TH, IP3_REST, CA_TH, R_C, R_L, V_ER, K_ER, C0, C1, A2, D1, D2, D3, D5,
    REFRACTORY_STEPS, COEFFICIENTS
};
enum { CA, H, IP3, GLU, ESP, V, AG, STATES };
enum {
    CA_SUM, CA_SQUARES, CA_MIN, CA_MAX, IP3_SUM, AG_SUM, GLU_SUM, ESP_SUM, PR_SUM, SPIKES, RELEASES, CROSSINGS,
    FIRST_CROSSING, LAST_CROSSING, STATISTICS
};

typedef struct {
    double k[COEFFICIENTS][LANES];
    double y[STATES][LANES];
    double acc[STATISTICS][LANES];
    uint64_t s[4][LANES];
    double ip3_start[LANES], ip3_middle[LANES], glu_last[LANES], esp_last[LANES];
    double level[LANES], wait[LANES], spikes[LANES], releases[LANES], before[LANES];
    double uniforms[LANES], chance[LANES], drawn[LANES];
    double above[LANES]; /* 1 where calcium is at or over the threshold */
} Block;

static inline double release_probability(double ag, double esp, double pr0, double k_ag)
{
    double pr = pr0 * (1.0 + (k_ag * ag + esp) / 100.0);
    pr = pr > 0.0 ? pr : 0.0;
    return pr < 1.0 ? pr : 1.0;
}

/* xoshiro256+ (Blackman and Vigna 2018), upper 53 bits. */
static inline double uniform(Block *b, int l)
{
    uint64_t word = b->s[0][l] + b->s[3][l];
    uint64_t t = b->s[1][l] << 17;
    b->s[2][l] ^= b->s[0][l];
    b->s[3][l] ^= b->s[1][l];
    b->s[1][l] ^= b->s[2][l];
    b->s[0][l] ^= b->s[3][l];
    b->s[2][l] ^= t;
    b->s[3][l] = (b->s[3][l] << 45) | (b->s[3][l] >> 19);
    return (double)(int64_t)(word >> 11) * 1.1102230246251565e-16;
}

/* Releases of SYNAPSES synapses of probability p, by inversion of the distribution function. */
static inline double binomial_count(double u, double p)
{
    double q = 1.0 - p, q2 = q * q, q4 = q2 * q2, odds = p / q;
    double mass = q2 * (q4 * q4), cumulative = mass, count = 0.0;
    for (int k = 0; k < SYNAPSES; k++) {
        count += u >= cumulative ? 1.0 : 0.0;
        mass *= odds * ((SYNAPSES - k) / (k + 1.0));
        cumulative += mass;
    }
    return count;
}

/* The same where it is at most 2, and more than SYNAPSES where it is more: no division. */
static inline double few_releases(double u, double p)
{
    const double n = SYNAPSES;
    double q = 1.0 - p, q2 = q * q, q4 = q2 * q2, tail = q4 * q4;
    double none = q2 * tail;
    double one = none + n * (p * q * tail);
    double two = one + 0.5 * n * (n - 1) * (p * p * tail);
    return (u >= none ? 1.0 : 0.0) + (u >= one ? 1.0 : 0.0) + (u >= two ? n : 0.0);
}

static inline void neuron_step(Block *b)
{
    int64_t beyond = 0;
    for (int l = 0; l < LANES; l++) {
        double rest = b->k[IP3_REST][l];
        b->y[IP3][l] = rest + (b->y[IP3][l] - rest) * b->k[IP3_DECAY][l] + b->y[AG][l] * b->k[AG_TO_IP3][l];
        double over = b->y[GLU][l] - b->level[l];
        double esp_level = b->k[M_ESP][l] * b->level[l];
        double esp = esp_level + (b->y[ESP][l] - esp_level) * b->k[ESP_DECAY][l] + over * b->k[GLU_TO_ESP][l];
        b->y[ESP][l] = esp;
        b->y[GLU][l] = b->level[l] + over * b->k[GLU_DECAY][l];

        b->y[AG][l] *= b->k[AG_DECAY][l];
        b->uniforms[l] = uniform(b, l);
        b->chance[l] = b->k[INPUT_PROBABILITY][l] * release_probability(b->y[AG][l], esp, b->k[PR0][l], b->k[K_AG][l]);
        b->drawn[l] = few_releases(b->uniforms[l], b->chance[l]);
        beyond |= b->drawn[l] > 2.0 ? 1 : 0;
    }
    if (beyond)
        for (int l = 0; l < LANES; l++)
            b->drawn[l] = binomial_count(b->uniforms[l], b->chance[l]);
    for (int l = 0; l < LANES; l++) {
        double voltage = b->y[V][l] * b->k[MEMBRANE_DECAY][l];
        double wait = b->wait[l] - 1.0 > 0.0 ? b->wait[l] - 1.0 : 0.0;
        b->releases[l] += b->drawn[l];
        voltage += wait == 0.0 ? b->k[JUMP][l] * b->drawn[l] : 0.0;
        double fired = voltage >= b->k[V_TH][l] ? 1.0 : 0.0;
        b->y[V][l] = fired != 0.0 ? 0.0 : voltage;
        b->y[AG][l] += fired != 0.0 ? b->k[DAG][l] : 0.0;
        b->wait[l] = fired != 0.0 ? b->k[REFRACTORY_STEPS][l] : wait;
        b->spikes[l] += fired;
    }
}

static inline void derivatives(const Block *b, int l, double ca, double h, double ip3, double *dca, double *dh)
{
    double gate = ip3 / (ip3 + b->k[D1][l]) * (ca / (ca + b->k[D5][l])) * h;
    double gradient = b->k[C0][l] - (1.0 + b->k[C1][l]) * ca;
    double pump = b->k[V_ER][l] * ca * ca / (b->k[K_ER][l] * b->k[K_ER][l] + ca * ca);
    double q2 = b->k[D2][l] * (ip3 + b->k[D1][l]) / (ip3 + b->k[D3][l]);
    *dca = (b->k[R_C][l] * gate * gate * gate + b->k[R_L][l]) * gradient - pump;
    *dh = b->k[A2][l] * (q2 - (q2 + ca) * h);
}

static inline void calcium_step(Block *b, double dt)
{
    double half = 0.5 * dt, sixth = dt / 6.0;
    for (int l = 0; l < LANES; l++) {
        double ca = b->y[CA][l], h = b->y[H][l], k1, k2, k3, k4, h1, h2, h3, h4;
        derivatives(b, l, ca, h, b->ip3_start[l], &k1, &h1);
        derivatives(b, l, ca + half * k1, h + half * h1, b->ip3_middle[l], &k2, &h2);
        derivatives(b, l, ca + half * k2, h + half * h2, b->ip3_middle[l], &k3, &h3);
        derivatives(b, l, ca + dt * k3, h + dt * h3, b->y[IP3][l], &k4, &h4);
        b->before[l] = ca;
        b->y[CA][l] = ca + sixth * (k1 + 2.0 * (k2 + k3) + k4);
        b->y[H][l] = h + sixth * (h1 + 2.0 * (h2 + h3) + h4);
        b->ip3_start[l] = b->y[IP3][l];
    }
}

/* Crossings, the level glutamate decays to, and (if `measured`) the sums at the end of astrocyte step `step`. */
static inline void observe(Block *b, long step, int measured, double dt)
{
    for (int l = 0; l < LANES; l++) {
        double now = b->y[CA][l] >= b->k[CA_TH][l] ? 1.0 : 0.0;
        if (measured && now > b->above[l]) {
            double moment = (step + (b->k[CA_TH][l] - b->before[l]) / (b->y[CA][l] - b->before[l])) * dt;
            if (b->acc[CROSSINGS][l] == 0.0)
                b->acc[FIRST_CROSSING][l] = moment;
            b->acc[LAST_CROSSING][l] = moment;
            b->acc[CROSSINGS][l] += 1.0;
        }
        b->above[l] = now;
    }
    if (measured)
        for (int l = 0; l < LANES; l++) {
            double ca = b->y[CA][l];
            b->acc[GLU_SUM][l] += 0.5 * (b->glu_last[l] + b->y[GLU][l]);
            b->acc[ESP_SUM][l] += 0.5 * (b->esp_last[l] + b->y[ESP][l]);
            b->acc[AG_SUM][l] += b->y[AG][l];
            b->acc[PR_SUM][l] += release_probability(b->y[AG][l], b->y[ESP][l], b->k[PR0][l], b->k[K_AG][l]);
            b->acc[CA_SUM][l] += ca;
            b->acc[CA_SQUARES][l] += ca * ca;
            b->acc[CA_MIN][l] = ca < b->acc[CA_MIN][l] ? ca : b->acc[CA_MIN][l];
            b->acc[CA_MAX][l] = ca > b->acc[CA_MAX][l] ? ca : b->acc[CA_MAX][l];
            b->acc[IP3_SUM][l] += b->y[IP3][l];
            b->acc[SPIKES][l] += b->spikes[l];
            b->acc[RELEASES][l] += b->releases[l];
        }
    for (int l = 0; l < LANES; l++) {
        b->level[l] = b->above[l] * b->k[GLU_LEVEL][l];
        b->glu_last[l] = b->y[GLU][l];
        b->esp_last[l] = b->y[ESP][l];
    }
}

/* Advance `units` units by `n_astro` astrocyte steps of `ratio` neuron steps each.
   coef [COEFFICIENTS][units], rng [4][units], state [STATES][units] (read and overwritten), stats [STATISTICS][units]. */
void workload_w(const double *coef, const uint64_t *rng, double *state, double *stats, long units, long ratio, long n_astro,
                long n_settle, double dt_astro)
{
    _Alignas(64) Block block;
    Block *b = &block;
    for (long first = 0; first < units; first += LANES) {
        long live = units - first < LANES ? units - first : LANES;
        for (int l = 0; l < LANES; l++) {
            long u = first + (l < live ? l : live - 1);
            for (int r = 0; r < COEFFICIENTS; r++)
                b->k[r][l] = coef[r * units + u];
            for (int r = 0; r < STATES; r++)
                b->y[r][l] = state[r * units + u];
            for (int r = 0; r < 4; r++)
                b->s[r][l] = rng[r * units + u];
            for (int r = 0; r < STATISTICS; r++)
                b->acc[r][l] = 0.0;
            b->acc[CA_MIN][l] = INFINITY;
            b->acc[CA_MAX][l] = -INFINITY;
            b->ip3_start[l] = b->ip3_middle[l] = b->y[IP3][l];
            b->glu_last[l] = b->y[GLU][l];
            b->esp_last[l] = b->y[ESP][l];
            b->above[l] = b->y[CA][l] >= b->k[CA_TH][l] ? 1.0 : 0.0;
            b->level[l] = b->above[l] * b->k[GLU_LEVEL][l];
            b->wait[l] = 0.0;
        }
        for (long a = 0; a < n_astro; a++) {
            for (int l = 0; l < LANES; l++)
                b->spikes[l] = b->releases[l] = 0.0;
            for (long step = 0; step < ratio; step++) {
                neuron_step(b);
                if (2 * (step + 1) == ratio)
                    for (int l = 0; l < LANES; l++)
                        b->ip3_middle[l] = b->y[IP3][l];
            }
            calcium_step(b, dt_astro);
            observe(b, a, a >= n_settle, dt_astro);
        }
        for (long l = 0; l < live; l++) {
            for (int r = 0; r < STATES; r++)
                state[r * units + first + l] = b->y[r][l];
            for (int r = 0; r < STATISTICS; r++)
                stats[r * units + first + l] = b->acc[r][l];
        }
    }
}
