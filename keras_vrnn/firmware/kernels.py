"""The C functions that programs call; each program gets those that it uses.

Shifts of negative numbers to the right are arithmetic, as in every compiler for the processors in question; each
source checks it. Where the processor has the DSP instructions of Arm (Cortex-M4, M7, M33), SMMULR multiplies and
rounds, and SSAT saturates.
"""

from keras_vrnn.firmware import product_kernels

_DSP = """\
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN)
#define HAS_DSP 1
#else
#define HAS_DSP 0
#endif
"""

_HIGH = """\
/* a * b / 2^31, rounded to nearest; not for -2^31 twice. */
static inline int32_t high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}
"""

_HIGH_NEAR = """\
/* The same for |a| < 2^30. */
static inline int32_t high_near(int32_t a, int32_t b)
{
#if HAS_DSP
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a * 2), "r"(b));
    return result;
#else
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
#endif
}
"""

_SHIFTED = """\
/* x * 2^n; overflow wraps around, as in the reference kernels. */
static inline int32_t shifted(int32_t x, int32_t n)
{
    return (int32_t)((uint32_t)x << n);
}
"""

_ROUNDED = """\
/* x / 2^n for n > 0, rounded to nearest, halves away from zero; |x| + 2^(n-1) < 2^31. */
static inline int32_t rounded(int32_t x, int32_t n)
{
    return (x + (x >> 31) + ((int32_t)1 << (n - 1))) >> n;
}
"""

_HALVED = """\
/* The same for n + 1. */
static inline int32_t halved(int32_t x, int32_t n)
{
    return (((x + (x >> 31)) >> n) + 1) >> 1;
}
"""

_ROUNDED_WIDE = """\
/* x / 2^n, rounded to nearest, halves away from zero, for any x and n from 0 to 31. */
static inline int32_t rounded_wide(int32_t x, int32_t n)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << n) - 1U);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> n) + ((x & mask) > threshold ? 1 : 0);
}
"""

_SCALED = """\
/* x * mantissa * 2^(exponent - 31), rounded twice. */
static inline int32_t scaled(int32_t x, int32_t mantissa, int32_t exponent)
{
    const int32_t left = exponent > 0 ? exponent : 0;
    return rounded_wide(high(shifted(x, left), mantissa), left - exponent);
}
"""

_SCALED_LONG = """\
/* x * multiplier / 2^n, rounded once. */
static inline int32_t scaled_long(int32_t x, int32_t multiplier, int32_t n)
{
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << (n - 1))) >> n);
}
"""

_SATURATED = """\
/* The nearest number of {bits} bits. */
static inline int32_t saturated{bits}(int32_t x)
{{
#if HAS_DSP
    int32_t result;
    __asm__("ssat %0, #{bits}, %1" : "=r"(result) : "r"(x));
    return result;
#else
    return x < {low} ? {low} : (x > {high} ? {high} : x);
#endif
}}
"""

_CLAMPED = """\
static inline int32_t clamped(int32_t x, int32_t low, int32_t most)
{
    return x < low ? low : (x > most ? most : x);
}
"""

_CURVE = """\
/* The table of 65536 / (1 + exp(-k / 24)) between k and k + 1. */
static inline int32_t between(int32_t k, int32_t part, int32_t bits)
{
    const int32_t at = k < 254 ? k : 254;
    const int32_t low = logistic_table[at];
    return low * ((int32_t)1 << bits) + part * (logistic_table[at + 1] - low);
}
"""

_TANH16 = """\
static inline int32_t tanh16(int32_t x)
{
    const int32_t size = x < 0 ? -x : x;
    const int32_t k = size >> 8;
    const int32_t value = k >= 255 ? 0xFFFF00 : between(k, size & 0xFF, 8);
    return (x >= 0 ? value - 8388608 + 128 : 8388608 + 127 - value) >> 8;
}
"""

_LOGISTIC16 = """\
static inline int32_t logistic16(int32_t x)
{
    const int32_t size = x < 0 ? -x : x;
    const int32_t k = size >> 9;
    const int32_t value = k >= 255 ? 0x1FFFC00 : between(k, size & 0x1FF, 9);
    return (x >= 0 ? value + 512 : 33554432 + 511 - value) >> 10;
}
"""

_LEADING_ZEROS = """\
static inline int32_t leading_zeros(int32_t x)
{
    uint32_t bits = (uint32_t)x;
    int32_t count = 0;
    while (count < 32 && (bits & 0x80000000U) == 0U) {
        bits <<= 1;
        ++count;
    }
    return count;
}
"""

_SOFTMAX8 = """\
/* x * 4, saturated. */
static inline int32_t times_four(int32_t x)
{
    return clamped(x, -536870912, 536870911) * 4 + (x > 536870911 ? 3 : 0);
}

/* exp(x) / sum of exp(x) in steps of 1 / 256; exp(-d) of differences d from the largest x is in the table. */
static void softmax8(const int8_t *x, int8_t *y, int32_t count, const int32_t *table, int32_t length)
{
    int32_t largest = -128;
    int32_t total = 0;
    int32_t i;
    for (i = 0; i < count; ++i) {
        largest = x[i] > largest ? x[i] : largest;
    }
    for (i = 0; i < count; ++i) {
        const int32_t d = largest - x[i];
        total += d < length ? rounded_wide(table[d], 12) : 0;
    }
    {
        /* 1 / total by Newton's division, in 1/2 to 1, and the bits by which it is too large. */
        const int32_t headroom = leading_zeros(total);
        const int32_t fraction = (int32_t)(((uint32_t)total << headroom) - 0x80000000U);
        const int32_t half = (int32_t)(((int64_t)fraction + INT32_MAX + 1) >> 1);
        int32_t inverse = 1515870810 + high(half, -1010580540);
        for (i = 0; i < 3; ++i) {
            inverse += times_four(high(inverse, 536870912 - high(half, inverse)));
        }
        inverse = inverse > 1073741823 ? INT32_MAX : inverse * 2;
        for (i = 0; i < count; ++i) {
            const int32_t d = largest - x[i];
            const int32_t share = d < length ? rounded_wide(high(inverse, table[d]), 35 - headroom) : 0;
            y[i] = (int8_t)clamped(share - 128, -128, 127);
        }
    }
}
"""

_SOFTMAX16 = """\
static inline int32_t look_up(int32_t x, const int16_t *table)
{
    const int32_t at = 256 + (x >> 7);
    const int32_t here = table[at];
    return here + (((table[at + 1] - here) * (x & 0x7F) + 64) >> 7);
}

static inline int32_t exponential(int32_t difference, int32_t mantissa, int32_t exponent, const int16_t *table)
{
    return look_up(clamped(scaled(difference, mantissa, exponent) + 32767, -32768, 32767), table);
}

/* exp(x) / sum of exp(x) in steps of 1 / 32768, from tables of exp and of 1 / (1 + x). */
static void softmax16(const int16_t *x, int16_t *y, int32_t count, const int16_t *powers, const int16_t *inverses,
                      int32_t mantissa, int32_t exponent)
{
    int32_t largest = -32768;
    int32_t total = 0;
    int32_t i;
    for (i = 0; i < count; ++i) {
        largest = x[i] > largest ? x[i] : largest;
    }
    for (i = 0; i < count; ++i) {
        total += exponential(x[i] - largest, mantissa, exponent, powers);
    }
    {
        const int32_t headroom = leading_zeros(total);
        const int32_t fraction = (int32_t)((((uint32_t)total << (headroom - 1)) + 8192U) >> 14) - 98304;
        const int32_t inverse = look_up(clamped(fraction, -32768, 32767), inverses);
        const int32_t n = 31 - headroom;
        for (i = 0; i < count; ++i) {
            const int32_t power = exponential(x[i] - largest, mantissa, exponent, powers);
            const int64_t share = ((int64_t)power * inverse + ((int64_t)1 << (n - 1))) >> n;
            y[i] = (int16_t)clamped((int32_t)share, 0, 32767);
        }
    }
}
"""

# name -> (names that it needs, source); each comes after what it needs.
FUNCTIONS = {
    "dsp": ((), _DSP),
    "high": ((), _HIGH),
    "high_near": (("dsp",), _HIGH_NEAR),
    "shifted": ((), _SHIFTED),
    "rounded": ((), _ROUNDED),
    "halved": ((), _HALVED),
    "rounded_wide": ((), _ROUNDED_WIDE),
    "scaled": (("high", "shifted", "rounded_wide"), _SCALED),
    "scaled_long": ((), _SCALED_LONG),
    "saturated8": (("dsp",), _SATURATED.format(bits=8, low=-128, high=127)),
    "saturated16": (("dsp",), _SATURATED.format(bits=16, low=-32768, high=32767)),
    "clamped": ((), _CLAMPED),
    **product_kernels.FUNCTIONS,
    "between": ((), _CURVE),
    "tanh16": (("between",), _TANH16),
    "logistic16": (("between",), _LOGISTIC16),
    "leading_zeros": ((), _LEADING_ZEROS),
    "softmax8": (("high", "leading_zeros", "rounded_wide", "clamped"), _SOFTMAX8),
    "softmax16": (("leading_zeros", "scaled", "clamped"), _SOFTMAX16),
}


def closure(names):
    """Returns the names of functions and of all that they need."""
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += FUNCTIONS[name][0]
    return wanted


def sources(names):
    """Returns the sources of functions with all that they need, in order."""
    wanted = closure(names)
    return [source for name, (_, source) in FUNCTIONS.items() if name in wanted]
