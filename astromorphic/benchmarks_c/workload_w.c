/* Workload W in C: what the compiled kernel of biosim.engines does, for one structure, as the limit to compare with.

   A unit is one neuron with SYNAPSES synapses on one astrocyte; Poisson input, continuous glutamate release, e-SP as a
   low-pass. The scheme and the order of work are those of biosim/engines/quantal_kernel.py: v, 2-AG and the binomial release of
   one uniform number every neuron step, what is linear in closed form once per PIECE of them, classical Runge-Kutta of calcium
   every astrocyte step, one stage of all lanes after the other, online statistics, float64. Blocks of LANES units advance in
   lockstep, so that the compiler vectorises over units. */

#include <math.h>
#include <stdint.h>

#define LANES 64
#define PIECE 5 /* neuron steps, half an astrocyte step */
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
    uint64_t s[4][LANES];
    double y[STATES][LANES];
    double level[LANES], above[LANES], before[LANES], above_before[LANES], glu_last[LANES], esp_last[LANES];
    double opening[3][LANES], binding[3][LANES]; /* what IP3 decides at the start, the middle and the end of the step */
    double stage_ca[LANES], stage_h[LANES], sum_ca[LANES], sum_h[LANES];
    double top[LANES], bound[LANES];
    double p_ag[LANES], p_rest[LANES], p_esp[LANES], p_glu[LANES];
    double ip3_decay_piece[LANES], ag_to_ip3_piece[LANES];
    double glu_decay_piece[LANES], esp_decay_piece[LANES], glu_to_esp_piece[LANES];
    double k[COEFFICIENTS][LANES];
    double acc[STATISTICS][LANES];
    double open_at[LANES]; /* first step whose input counts */
    double drawn[PIECE][LANES], base[PIECE][LANES], weight[PIECE][LANES];
    double kept[6][LANES];
} Block;

static inline double clip(double p, double highest)
{
    p = p > 0.0 ? p : 0.0;
    return p < highest ? p : highest;
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

/* Probability of at most 2, and a little less to allow for rounding. */
static inline double two_at_most(double p)
{
    const double n = SYNAPSES;
    double q = 1.0 - p, q2 = q * q, q4 = q2 * q2;
    return q4 * q4 * (q2 + n * p * q + 0.5 * n * (n - 1) * p * p) - 1e-14;
}

/* Uniform numbers of a piece by xoshiro256+ (Blackman and Vigna 2018), upper 53 bits; 1 if one may mean a count above 2. */
static inline int64_t draw(Block *b, long lanes)
{
    int64_t beyond = 0;
    for (long l = 0; l < lanes; l++) {
        uint64_t s0 = b->s[0][l], s1 = b->s[1][l], s2 = b->s[2][l], s3 = b->s[3][l];
        double top = 0.0;
        for (int s = 0; s < PIECE; s++) {
            uint64_t word = s0 + s3, t = s1 << 17;
            s2 ^= s0;
            s3 ^= s1;
            s1 ^= s2;
            s0 ^= s3;
            s2 ^= t;
            s3 = (s3 << 45) | (s3 >> 19);
            double number = (double)(int64_t)(word >> 11) * 1.1102230246251565e-16;
            b->drawn[s][l] = number;
            top = number > top ? number : top;
        }
        b->s[0][l] = s0;
        b->s[1][l] = s1;
        b->s[2][l] = s2;
        b->s[3][l] = s3;
        b->top[l] = top;
        beyond |= top >= b->bound[l] ? 1 : 0;
    }
    return beyond;
}

/* Glutamate, e-SP, and IP3 but for what the spikes of this piece add. */
static inline void linear(Block *b, long lanes)
{
    for (long l = 0; l < lanes; l++) {
        double level = b->level[l], over = b->y[GLU][l] - level;
        double esp_level = b->k[M_ESP][l] * level, esp = b->y[ESP][l] - esp_level;
        double p_level = b->p_rest[l] + b->p_esp[l] * esp_level, p_esp = b->p_esp[l] * esp, p_glu = b->p_glu[l] * over;
        for (int s = 0; s < PIECE; s++) {
            p_esp = p_esp * b->k[ESP_DECAY][l] + p_glu;
            p_glu = p_glu * b->k[GLU_DECAY][l];
            b->base[s][l] = p_level + p_esp;
        }
        b->y[ESP][l] = esp_level + (esp * b->esp_decay_piece[l] + over * b->glu_to_esp_piece[l]);
        b->y[GLU][l] = level + over * b->glu_decay_piece[l];
        double rest = b->k[IP3_REST][l];
        b->y[IP3][l] = rest + (b->y[IP3][l] - rest) * b->ip3_decay_piece[l] + b->y[AG][l] * b->ag_to_ip3_piece[l];
    }
}

/* When a neuron that fires at step `at` is open again: somewhere in a step, by the lower digits of its uniform number. */
static inline double opens(double at, double refractory_steps, double u)
{
    double scaled = u * 1048576.0;
    return at + (refractory_steps - 0.5) + (scaled - floor(scaled));
}

static inline void neuron_step(Block *b, int s, double at, long lanes)
{
    for (long l = 0; l < lanes; l++) {
        double ag = b->y[AG][l] * b->k[AG_DECAY][l], u = b->drawn[s][l];
        double p = clip(b->base[s][l] + b->p_ag[l] * ag, b->k[INPUT_PROBABILITY][l]);
        double q = 1.0 - p, q2 = q * q, q4 = q2 * q2, tail = q4 * q4;
        double count = u >= q2 * tail ? 1.0 : 0.0;
        count = u >= q * (1.0 + (SYNAPSES - 1) * p) * tail ? 2.0 : count;
        double voltage = b->y[V][l] * b->k[MEMBRANE_DECAY][l];
        voltage = b->open_at[l] < at ? voltage + b->k[JUMP][l] * count : voltage;
        int fired = voltage >= b->k[V_TH][l];
        b->y[V][l] = fired ? 0.0 : voltage;
        b->y[AG][l] = ag + (fired ? b->k[DAG][l] : 0.0);
        b->open_at[l] = fired ? opens(at, b->k[REFRACTORY_STEPS][l], u) : b->open_at[l];
        b->y[IP3][l] += fired ? b->weight[s][l] : 0.0;
        b->acc[SPIKES][l] += fired ? 1.0 : 0.0;
        b->acc[RELEASES][l] += count;
    }
}

/* The piece of one lane once more, from what was kept, with every count. */
static __attribute__((noinline)) void again(Block *b, long l, double started)
{
    double voltage = b->kept[0][l], ag = b->kept[1][l], open_at = b->kept[2][l];
    double ip3 = b->kept[3][l], spikes = b->kept[4][l], releases = b->kept[5][l], highest = 0.0, least = ag;
    for (int s = 0; s < PIECE; s++) {
        least *= b->k[AG_DECAY][l];
        highest = b->base[s][l] > highest ? b->base[s][l] : highest;
    }
    if (b->top[l] < two_at_most(clip(highest + b->p_ag[l] * least, b->k[INPUT_PROBABILITY][l])))
        return;
    for (int s = 0; s < PIECE; s++) {
        double at = started + s + 1.0;
        ag *= b->k[AG_DECAY][l];
        double count = binomial_count(b->drawn[s][l], clip(b->base[s][l] + b->p_ag[l] * ag, b->k[INPUT_PROBABILITY][l]));
        voltage *= b->k[MEMBRANE_DECAY][l];
        if (open_at < at)
            voltage += b->k[JUMP][l] * count;
        releases += count;
        if (voltage >= b->k[V_TH][l]) {
            voltage = 0.0;
            ag += b->k[DAG][l];
            open_at = opens(at, b->k[REFRACTORY_STEPS][l], b->drawn[s][l]);
            ip3 += b->weight[s][l];
            spikes += 1.0;
        }
    }
    b->y[V][l] = voltage;
    b->y[AG][l] = ag;
    b->open_at[l] = open_at;
    b->y[IP3][l] = ip3;
    b->acc[SPIKES][l] = spikes;
    b->acc[RELEASES][l] = releases;
}

static inline void piece(Block *b, double started, long lanes)
{
    int64_t beyond = draw(b, lanes);
    linear(b, lanes);
    if (beyond)
        for (long l = 0; l < lanes; l++) {
            b->kept[0][l] = b->y[V][l];
            b->kept[1][l] = b->y[AG][l];
            b->kept[2][l] = b->open_at[l];
            b->kept[3][l] = b->y[IP3][l];
            b->kept[4][l] = b->acc[SPIKES][l];
            b->kept[5][l] = b->acc[RELEASES][l];
        }
    for (int s = 0; s < PIECE; s++)
        neuron_step(b, s, started + s + 1.0, lanes);
    if (beyond)
        for (long l = 0; l < lanes; l++)
            if (b->top[l] >= b->bound[l])
                again(b, l, started);
}

static inline void channel(Block *b, int moment, long lanes)
{
    for (long l = 0; l < lanes; l++) {
        double ip3 = b->y[IP3][l], bound = ip3 + b->k[D1][l], other = ip3 + b->k[D3][l], both = 1.0 / (bound * other);
        double share = ip3 * other * both;
        b->opening[moment][l] = b->k[R_C][l] * (share * share * share);
        b->binding[moment][l] = b->k[A2][l] * b->k[D2][l] * (bound * bound * both);
    }
}

static inline void calcium_step(Block *b, double dt, long lanes)
{
    channel(b, 2, lanes);
    for (long l = 0; l < lanes; l++) {
        b->before[l] = b->stage_ca[l] = b->sum_ca[l] = b->y[CA][l];
        b->stage_h[l] = b->sum_h[l] = b->y[H][l];
    }
    for (int stage = 0; stage < 4; stage++) {
        int moment = (stage + 1) / 2;
        double share = stage == 1 || stage == 2 ? dt / 3.0 : dt / 6.0, ahead = stage == 2 ? dt : 0.5 * dt;
        for (long l = 0; l < lanes; l++) {
            double ca = b->stage_ca[l], h = b->stage_h[l], square = ca * ca;
            double pumped = b->k[K_ER][l] * b->k[K_ER][l] + square, activated = ca + b->k[D5][l];
            double both = 1.0 / (pumped * activated), gate = ca * pumped * both * h;
            double pump = b->k[V_ER][l] * square * (activated * both), gradient = b->k[C0][l] - (1.0 + b->k[C1][l]) * ca;
            double dca = (b->opening[moment][l] * (gate * gate * gate) + b->k[R_L][l]) * gradient - pump;
            double dh = b->binding[moment][l] - (b->binding[moment][l] + b->k[A2][l] * ca) * h;
            b->sum_ca[l] += share * dca;
            b->sum_h[l] += share * dh;
            b->stage_ca[l] = b->y[CA][l] + ahead * dca;
            b->stage_h[l] = b->y[H][l] + ahead * dh;
        }
    }
}

/* The new calcium, crossings, the level glutamate decays to, and (if `measured`) the sums of astrocyte step `step`. */
static inline void observe(Block *b, long step, int measured, double dt, long lanes)
{
    int64_t crossed = 0;
    for (long l = 0; l < lanes; l++) {
        double ca = b->sum_ca[l], now = ca >= b->k[CA_TH][l] ? 1.0 : 0.0;
        b->y[CA][l] = ca;
        b->y[H][l] = b->sum_h[l];
        b->opening[0][l] = b->opening[2][l];
        b->binding[0][l] = b->binding[2][l];
        crossed |= now > b->above[l] ? 1 : 0;
        b->above_before[l] = b->above[l];
        b->above[l] = now;
        b->level[l] = b->k[GLU_LEVEL][l] * now;
    }
    if (measured && crossed)
        for (long l = 0; l < lanes; l++)
            if (b->above[l] > b->above_before[l]) {
                double moment = (step + (b->k[CA_TH][l] - b->before[l]) / (b->y[CA][l] - b->before[l])) * dt;
                if (b->acc[CROSSINGS][l] == 0.0)
                    b->acc[FIRST_CROSSING][l] = moment;
                b->acc[LAST_CROSSING][l] = moment;
                b->acc[CROSSINGS][l] += 1.0;
            }
    if (measured)
        for (long l = 0; l < lanes; l++) {
            double ca = b->y[CA][l], ag = b->y[AG][l], esp = b->y[ESP][l];
            b->acc[GLU_SUM][l] += 0.5 * (b->glu_last[l] + b->y[GLU][l]);
            b->acc[ESP_SUM][l] += 0.5 * (b->esp_last[l] + esp);
            b->acc[AG_SUM][l] += ag;
            b->acc[PR_SUM][l] += clip(b->k[PR0][l] * (1.0 + (b->k[K_AG][l] * ag + esp) / 100.0), 1.0);
            b->acc[CA_SUM][l] += ca;
            b->acc[CA_SQUARES][l] += ca * ca;
            b->acc[CA_MIN][l] = ca < b->acc[CA_MIN][l] ? ca : b->acc[CA_MIN][l];
            b->acc[CA_MAX][l] = ca > b->acc[CA_MAX][l] ? ca : b->acc[CA_MAX][l];
            b->acc[IP3_SUM][l] += b->y[IP3][l];
        }
    for (long l = 0; l < lanes; l++) {
        b->glu_last[l] = b->y[GLU][l];
        b->esp_last[l] = b->y[ESP][l];
    }
}

/* What follows from the coefficients of lane `l`. */
static void prepare(Block *b, long l)
{
    double ag_left = 1.0, ip3_left = 1.0, ip3_made = 0.0, glu_left = 1.0, esp_left = 1.0, esp_made = 0.0;
    b->p_rest[l] = b->k[INPUT_PROBABILITY][l] * b->k[PR0][l];
    b->p_esp[l] = b->p_rest[l] / 100.0;
    b->p_ag[l] = b->p_esp[l] * b->k[K_AG][l];
    b->p_glu[l] = b->p_esp[l] * b->k[GLU_TO_ESP][l];
    b->bound[l] = two_at_most(b->k[INPUT_PROBABILITY][l]);
    for (int s = 0; s < PIECE; s++) {
        b->weight[PIECE - 1 - s][l] = b->k[DAG][l] * ip3_made;
        ip3_made = ip3_made * b->k[IP3_DECAY][l] + ag_left * b->k[AG_TO_IP3][l];
        ag_left *= b->k[AG_DECAY][l];
        ip3_left *= b->k[IP3_DECAY][l];
        esp_made = esp_made * b->k[ESP_DECAY][l] + glu_left * b->k[GLU_TO_ESP][l];
        glu_left *= b->k[GLU_DECAY][l];
        esp_left *= b->k[ESP_DECAY][l];
    }
    b->ip3_decay_piece[l] = ip3_left;
    b->ag_to_ip3_piece[l] = ip3_made;
    b->glu_decay_piece[l] = glu_left;
    b->esp_decay_piece[l] = esp_left;
    b->glu_to_esp_piece[l] = esp_made;
}

/* Advance `units` units by `n_astro` astrocyte steps of `ratio` neuron steps each, twice PIECE.
   coef [COEFFICIENTS][units], rng [4][units], state [STATES][units] (read and overwritten), stats [STATISTICS][units]. */
void workload_w(const double *coef, const uint64_t *rng, double *state, double *stats, long units, long ratio, long n_astro,
                long n_settle, double dt_astro)
{
    _Alignas(64) Block block;
    Block *b = &block;
    for (long first = 0; first < units; first += LANES) {
        long live = units - first < LANES ? units - first : LANES;
        long lanes = (live + 7) / 8 * 8;
        for (long l = 0; l < lanes; l++) {
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
            b->glu_last[l] = b->y[GLU][l];
            b->esp_last[l] = b->y[ESP][l];
            b->above[l] = b->y[CA][l] >= b->k[CA_TH][l] ? 1.0 : 0.0;
            b->level[l] = b->above[l] * b->k[GLU_LEVEL][l];
            b->open_at[l] = 0.0;
            prepare(b, l);
        }
        channel(b, 0, lanes);
        for (long a = 0; a < n_astro; a++) {
            if (a == n_settle)
                for (long l = 0; l < lanes; l++)
                    b->acc[SPIKES][l] = b->acc[RELEASES][l] = 0.0;
            for (long half = 0; half < 2; half++) {
                piece(b, (double)(a * ratio + half * PIECE), lanes);
                if (half == 0)
                    channel(b, 1, lanes);
            }
            calcium_step(b, dt_astro, lanes);
            observe(b, a, a >= n_settle, dt_astro, lanes);
        }
        for (long l = 0; l < live; l++) {
            for (int r = 0; r < STATES; r++)
                state[r * units + first + l] = b->y[r][l];
            for (int r = 0; r < STATISTICS; r++)
                stats[r * units + first + l] = b->acc[r][l];
        }
    }
}
