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
    abort abs access acct alarm aligned_alloc asctime assert at_quick_exit atexit atof atoi atol atoll basename bcmp
    bcopy brk bsearch btowc bzero calloc chdir chown clearerr clock close creat crypt ctime daemon daylight delay
    difftime div dup dup2 environ errno execl execle execlp execv execve execvp exit fclose feof ferror fflush ffs
    fgetc fgetpos fgets fgetwc fgetws fopen fork fprintf fputc fputs fputwc fputws fread free freopen fscanf fseek
    fsetpos fsync ftell fwide fwprintf fwrite fwscanf getc getchar getcwd getenv getline getpid gets getw getwc
    getwchar gmtime index isalnum isalpha isatty isblank iscntrl isdigit isgraph islower isprint ispunct isspace
    isupper isxdigit kill labs lconv ldiv link linux llabs lldiv localeconv localtime loop lseek main malloc mblen
    mbrlen mbrtowc mbsinit mbsrtowcs mbstowcs mbtowc memchr memcmp memcpy memmove memset mktime nice obstack open
    optarg optind pause perror pipe poll printf putc putchar puts putw putwc putwchar qsort quick_exit raise rand
    random read realloc remove rename revoke rewind rindex rmdir scanf select setbuf setlocale setup setvbuf signal
    sleep snprintf sprintf srand srandom sscanf stat std stderr stdin stdout strcat strchr strcmp strcoll strcpy
    strcspn strdup strerror strftime strlen strncat strncmp strncpy strpbrk strrchr strspn strstr strtod strtof
    strtok strtol strtold strtoll strtoul strtoull strxfrm swab swprintf swscanf symlink sync syscall sysconf system
    tflite time timespec timespec_get timezone tm tmpfile tmpnam tolower toupper truncate tzname tzset uint ulong
    ungetc ungetwc unix unlink ushort usleep vfprintf vfscanf vfwprintf vfwscanf vprintf vscanf vsnprintf vsprintf
    vsscanf vswprintf vswscanf vwprintf vwscanf wait wcrtomb wcscat wcschr wcscmp wcscoll wcscpy wcscspn wcsftime
    wcslen wcsncat wcsncmp wcsncpy wcspbrk wcsrchr wcsrtombs wcsspn wcsstr wcstod wcstof wcstok wcstol wcstold
    wcstoll wcstombs wcstoul wcstoull wcsxfrm wctob wctomb wmemchr wmemcmp wmemcpy wmemmove wmemset wprintf write
    wscanf
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
