/* Classifies windows of a motion sensor's readings, one step of the network a sample, and prints a confusion matrix.
 *
 * It reads windows: the label and the number of samples as int32, then the samples as float32. It writes the integers
 * of the output at each sample. On a device of your own, keep the middle: normalize, step, likeliest. */
#include "board.h"

#define MOTION_FLOAT
#include "motion.h"

#define CLASSES MOTION_OUT_OUTPUT_SIZE

static const char *const names[] = MOTION_OUT_OUTPUT_NAMES;
static motion_state state;
static uint32_t confusion[CLASSES][CLASSES];

static int likeliest(const int8_t *y)
{
    int best = 0;
    int k;
    for (k = 1; k < CLASSES; ++k) {
        best = y[k] > y[best] ? k : best;
    }
    return best;
}

static void print_confusion(void)
{
    int label;
    int answer;
    for (label = 0; label < CLASSES; ++label) {
        for (answer = 0; answer < CLASSES; ++answer) {
            board_number(confusion[label][answer], 5);
        }
        board_text("  ");
        board_text(names[label]);
        board_text("\n");
    }
}

int main(void)
{
    int32_t window[2]; /* label, samples */
    while (board_read(window, sizeof window) == sizeof window && window[0] >= 0 && window[0] < CLASSES) {
        int answer = 0;
        int32_t t;
        motion_reset(&state);
        for (t = 0; t < window[1]; ++t) {
            float readings[MOTION_IN_FEATURES_SIZE];
            int8_t x[MOTION_IN_FEATURES_SIZE];
            int8_t y[MOTION_OUT_OUTPUT_SIZE];
            if (board_read(readings, sizeof readings) != sizeof readings) {
                return 1;
            }
            motion_normalize_in_features(readings, x);
            (void)motion_step(&state, x, y); /* fails only for token ids */
            board_write(y, sizeof y);
            answer = likeliest(y);
        }
        ++confusion[window[0]][answer];
    }
    print_confusion();
    return 0;
}
