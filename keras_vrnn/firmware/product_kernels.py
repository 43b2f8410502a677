"""The C functions that add products, four sums at a time.

Where the processor has the DSP instructions of Arm, SXTB16 widens two bytes of a word and SMLAD adds two products. The
statement that uses them is one, so that no compiler keeps more loads in flight than it has registers.
"""

_ROW = """\
#if HAS_DSP
/* Adds the products of four weights, and of four values in low and high, to a sum. */
#define ROW(sum) \\
    "ldr %[odd], [%[w]], #4\\n\\tsxtb16 %[even], %[odd]\\n\\t" \\
    "sxtb16 %[odd], %[odd], ror #8\\n\\t" \\
    "smlad %[" sum "], %[even], %[low], %[" sum "]\\n\\tsmlad %[" sum "], %[odd], %[high], %[" sum "]\\n\\t"
#endif
"""

# The kernels of int8 and int16 differ in how they read four values of x, and in the order of the weights beside them.
_SUMS = """\
/* Sums of products: sums = bias + weights * x, four sums and four values of x at a time. Where x is not a multiple of
 * four, weights of zero meet what follows it. */
static void sums{bits}(const int{bits}_t *x, int32_t inputs, const int8_t *w, const int32_t *bias, int32_t columns,
                  int32_t *sums)
{{
    const int32_t *const last = sums + columns;
    const int{bits}_t *const end = x + inputs;
    for (; sums != last; sums += 4, bias += 4) {{
        const int{bits}_t *from = x;
        int32_t a = bias[0];
        int32_t b = bias[1];
        int32_t c = bias[2];
        int32_t d = bias[3];
        do {{
#if HAS_DSP
            int32_t low;
            int32_t high;
            int32_t even;
            int32_t odd;
            __asm__ volatile(
{load}                ROW("a") ROW("b") ROW("c") ROW("d")
                : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [from] "+r"(from), [w] "+r"(w),
                  [low] "=&r"(low), [high] "=&r"(high), [even] "=&r"(even), [odd] "=&r"(odd)
                :
                : "memory");
#else
            a += w[0] * from[{o[0]}] + w[1] * from[{o[1]}] + w[2] * from[{o[2]}] + w[3] * from[{o[3]}];
            b += w[4] * from[{o[0]}] + w[5] * from[{o[1]}] + w[6] * from[{o[2]}] + w[7] * from[{o[3]}];
            c += w[8] * from[{o[0]}] + w[9] * from[{o[1]}] + w[10] * from[{o[2]}] + w[11] * from[{o[3]}];
            d += w[12] * from[{o[0]}] + w[13] * from[{o[1]}] + w[14] * from[{o[2]}] + w[15] * from[{o[3]}];
            from += 4;
            w += 16;
#endif
        }} while (from != end);
        sums[0] = a;
        sums[1] = b;
        sums[2] = c;
        sums[3] = d;
    }}
}}
"""

_SUMS8 = _SUMS.format(
    bits=8,
    o=[0, 1, 2, 3],
    load='                "ldr %[high], [%[from]], #4\\n\\tsxtb16 %[low], %[high]\\n\\t"\n'
    '                "sxtb16 %[high], %[high], ror #8\\n\\t"\n',
)
_SUMS16 = _SUMS.format(
    bits=16,
    o=[0, 2, 1, 3],
    load='                "ldr %[low], [%[from]], #4\\n\\tldr %[high], [%[from]], #4\\n\\t"\n',
)

_SUMS4 = """\
/* The same for int8 and weights of 4 bits: a byte holds those of x[k] (low half) and of x[k + 4]. */
static void sums4(const int8_t *x, int32_t inputs, const uint8_t *w, const int32_t *bias, int32_t columns,
                  int32_t *sums)
{
    const int32_t *const last = sums + columns;
    const int8_t *const end = x + inputs;
    for (; sums != last; sums += 4, bias += 4) {
        const int8_t *from = x;
        int32_t a = 0;
        int32_t b = 0;
        int32_t c = 0;
        int32_t d = 0;
        do {
#if HAS_DSP
            int32_t low;
            int32_t high;
            int32_t even;
            int32_t odd;
            /* Each weight stays in the upper half of its byte, 16 times as large. */
            __asm__ volatile(
                VALUES HALF("a", "0", LOWER) HALF("b", "4", LOWER) HALF("c", "8", LOWER) HALF("d", "12", LOWER)
                VALUES HALF("a", "0", "") HALF("b", "4", "") HALF("c", "8", "") HALF("d", "12", "")
                : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [from] "+r"(from),
                  [low] "=&r"(low), [high] "=&r"(high), [even] "=&r"(even), [odd] "=&r"(odd)
                : [w] "r"(w), [mask] "r"(0xF0F0F0F0U)
                : "memory");
            w += 16;
#else
            int32_t k;
            for (k = 0; k < 4; ++k, ++w, ++from) {
                a += ((w[0] & 15) - (w[0] & 8) * 2) * from[0] + ((w[0] >> 4) - (w[0] >> 7) * 16) * from[4];
                b += ((w[4] & 15) - (w[4] & 8) * 2) * from[0] + ((w[4] >> 4) - (w[4] >> 7) * 16) * from[4];
                c += ((w[8] & 15) - (w[8] & 8) * 2) * from[0] + ((w[8] >> 4) - (w[8] >> 7) * 16) * from[4];
                d += ((w[12] & 15) - (w[12] & 8) * 2) * from[0] + ((w[12] >> 4) - (w[12] >> 7) * 16) * from[4];
            }
            from += 4;
            w += 12;
#endif
        } while (from != end);
#if HAS_DSP
        a >>= 4;
        b >>= 4;
        c >>= 4;
        d >>= 4;
#endif
        sums[0] = bias[0] + a;
        sums[1] = bias[1] + b;
        sums[2] = bias[2] + c;
        sums[3] = bias[3] + d;
    }
}
"""

_HALF = """\
#if HAS_DSP
#define VALUES \\
    "ldr %[high], [%[from]], #4\\n\\tsxtb16 %[low], %[high]\\n\\tsxtb16 %[high], %[high], ror #8\\n\\t"
#define LOWER "lsl %[odd], %[odd], #4\\n\\t"
#define HALF(sum, at, shift) \\
    "ldr %[odd], [%[w], #" at "]\\n\\t" shift "and %[odd], %[odd], %[mask]\\n\\t" \\
    "sxtb16 %[even], %[odd]\\n\\tsxtb16 %[odd], %[odd], ror #8\\n\\t" \\
    "smlad %[" sum "], %[even], %[low], %[" sum "]\\n\\tsmlad %[" sum "], %[odd], %[high], %[" sum "]\\n\\t"
#endif
"""

# As in `kernels`.
FUNCTIONS = {
    "row": (("dsp",), _ROW),
    "half": (("dsp",), _HALF),
    "sums8": (("row",), _SUMS8),
    "sums16": (("row",), _SUMS16),
    "sums4": (("half",), _SUMS4),
}
