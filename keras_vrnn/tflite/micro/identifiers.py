"""Which names C++ sources may have: those that compile as a namespace beside the headers of C, C++ and POSIX."""

import re

_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class co_await
    co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
    true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
# Functions, objects and predefined macros of the global namespace; those of <cmath> have variants with f and l.
_GLOBAL = """
    abort abs access alarm asctime assert atexit atof atoi atol atoll bcmp bcopy bsearch btowc bzero calloc chdir chown
    clearerr clock close creat ctime daemon difftime div dup dup2 environ errno execl execle execlp execv execve execvp
    exit fclose feof ferror fflush ffs fgetc fgetpos fgets fopen fork fprintf fputc fputs fread free freopen fscanf
    fseek fsetpos fsync ftell fwide fwrite getc getchar getcwd getenv getpid gets getw gmtime index isalnum isalpha
    isatty isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit kill labs ldiv link linux
    llabs lldiv localtime lseek main malloc mblen mbrlen mbtowc memchr memcmp memcpy memmove memset mktime open optarg
    optind pause perror pipe poll printf putc putchar puts putw qsort raise rand random read realloc remove rename
    rewind rindex rmdir scanf select setbuf setup signal sleep snprintf sprintf srand srandom sscanf stat std stderr
    stdin stdout strcat strchr strcmp strcoll strcpy strcspn strdup strerror strftime strlen strncat strncmp strncpy
    strpbrk strrchr strspn strstr strtod strtof strtok strtol strtold strtoll strtoul strtoull strxfrm swab symlink sync
    sysconf system tflite time timezone tmpfile tmpnam tolower toupper truncate tzname tzset ungetc unix unlink usleep
    vfprintf vprintf vsnprintf vsprintf wait write loop delay
"""
_MATH = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh drem erf erfc exp exp10 exp2 expm1 fabs fdim
    finite floor fma fmax fmin fmod frexp gamma hypot ilogb isfinite isinf isnan isnormal j0 j1 jn ldexp lgamma
    llrint llround log log10 log1p log2 logb lrint lround modf nan nearbyint nextafter nexttoward pow pow10 remainder
    remquo rint round scalb scalbln scalbn signbit signgam significand sin sincos sinh sqrt tan tanh tgamma trunc y0
    y1 yn
"""
_TAKEN = {*_KEYWORDS.split(), *_GLOBAL.split()} | {
    name + ending for name in _MATH.split() for ending in ("", "f", "l")
}


def check(name):
    """Raises ValueError unless sources of this name compile.

    Refused are keywords, names that C and C++ reserve, names in capitals, which are macros by custom, and names that
    the headers of C and POSIX or an Arduino program define.
    """
    plain = isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII)
    if not plain or "__" in name or name.endswith("_t") or name.upper() == name or name in _TAKEN:
        raise ValueError(
            f"`name` must be a C++ identifier with a lower-case letter that C and C++ do not use themselves, such as "
            f"'gestures'. Received: name={name!r}"
        )
