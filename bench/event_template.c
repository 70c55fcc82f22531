/*
 * The templates: what events are made of, in the form that Segment's library
 * for browsers sends.
 */

#include "event.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BENCH_TEXT_MAX      (4096 + BENCH_RECIPIENTS * 16)

/* In the making of a template these bytes stand for its holes. */

#define BENCH_HOLE_NUMBER   "\001"
#define BENCH_HOLE_TIME     "\002"
#define BENCH_HOLE_ACTOR    "\003"
#define BENCH_HOLE_TARGET   "\004"
#define BENCH_PROPERTIES    "\005"

#define bench_pick(pool, random)                                              \
    (pool)[bench_next(random) % (sizeof(pool) / sizeof((pool)[0]))]


static uint64_t bench_next(uint64_t *random);
static int bench_template_make(const bench_events_t *events,
    bench_kind_e kind, bench_template_t *t, uint64_t random);
static int bench_template_cut(bench_template_t *t, const char *draft,
    size_t len);
static void bench_put(char *draft, size_t *len, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void bench_put_context(char *draft, size_t *len,
    const bench_template_t *t, uint64_t *random);
static void bench_put_properties(const bench_events_t *events,
    bench_kind_e kind, char *draft, size_t *len, const bench_template_t *t,
    uint64_t *random);
static void bench_put_unmapped(bench_kind_e kind, char *draft, size_t *len,
    const bench_template_t *t, uint64_t *random);
static void bench_put_traits(bench_kind_e kind, char *draft, size_t *len,
    const bench_template_t *t, uint64_t *random);
static void bench_put_words(char *draft, size_t *len, size_t min,
    uint64_t *random);


static const char  *bench_firsts[] = {
    "Ada", "Bruno", "Chidi", "Dana", "Elif", "Farid", "Grace", "Hana",
    "Ines", "Jos\xc3\xa9", "Katya", "Liam", "Mei", "Nadia", "Omar", "Priya",
    "Quinn", "Rosa", "Sam", "Tariq", "Uma", "Viktor", "Wanda", "Ximena",
    "Yusuf", "Zo\xc3\xab", "\xc5\x81ukasz", "Bj\xc3\xb6rn", "Siobhan",
    "Thabo", "Aiko", "Noor"
};

static const char  *bench_lasts[] = {
    "Nunes", "Okafor", "Schmidt", "Ivanova", "Tanaka", "O'Brien", "Garcia",
    "Haddad", "Lindqvist", "M\xc3\xbcller", "Novak", "Rossi", "Singh",
    "Dubois", "Kowalski", "Andersen", "Yilmaz", "Petrov", "Castillo",
    "Fern\xc3\xa1ndez", "Papadopoulos", "Van Dijk", "Moreau", "Suzuki"
};

static const char  *bench_words[] = {
    "the", "draft", "looks", "good", "to", "me", "but", "section", "two",
    "needs", "numbers", "from", "last", "quarter", "before", "we", "ship",
    "it", "on", "Friday", "please", "check", "whether", "customers", "asked",
    "for", "this", "and", "who", "owns", "\\\"next steps\\\"", "caf\xc3\xa9",
    "budget", "roadmap", "see", "page", "12", "of", "report", "\\nThanks,"
};

static const char  *bench_plans[] = { "free", "team", "business", "trial" };

static const char  *bench_companies[] = {
    "Acme Ltd", "Globex", "Initech", "Umbra & Sons", "Stark Tooling",
    "Wayne Freight", "Hooli Docs", "Soylent Foods"
};

static const char  *bench_industries[] = {
    "Software", "Logistics", "Manufacturing", "Education", "Food"
};

static const char  *bench_streets[] = {
    "Harbour Road", "Rua do Ouro", "Mill Lane", "Lindenweg", "Elm Street"
};

static const char  *bench_cities[] = {
    "Lisbon", "Leeds", "Hamburg", "Osaka", "Recife", "Gda\xc5\x84sk"
};

static const char  *bench_countries[] = { "PT", "GB", "DE", "JP", "BR", "PL" };

static const char  *bench_titles[] = {
    "Engineer", "Designer", "Head of Product", "Support Lead", "Analyst",
    "Account Manager", "Founder", "Technical Writer"
};

static const char  *bench_timezones[] = {
    "Europe/Lisbon", "America/New_York", "Asia/Tokyo", "Europe/Warsaw",
    "Africa/Lagos", "America/Sao_Paulo"
};

static const char  *bench_locales[] = {
    "en-GB", "en-US", "pt-PT", "de-DE", "ja-JP", "pl-PL"
};

static const char  *bench_tags[] = {
    "[\"founder\",\"admin\"]", "[\"beta\"]", "[\"admin\",\"billing\"]",
    "[\"editor\",\"beta\",\"design\"]"
};

static const char  *bench_agents[] = {
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 "
        "Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) "
        "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
        "Mobile/15E148 Safari/604.1"
};


int
bench_events_init(bench_events_t *events)
{
    int                n, kind;
    bench_template_t  *t;

    for (kind = 0; kind < BENCH_KINDS; kind++) {

        t = calloc(BENCH_TEMPLATES, sizeof(bench_template_t));
        if (t == NULL) {
            return -1;
        }

        events->templates[kind] = t;

        for (n = 0; n < BENCH_TEMPLATES; n++) {
            if (bench_template_make(events, (bench_kind_e) kind, &t[n],
                                    bench_mix(events->seed * 31
                                              + (uint64_t) kind
                                                * BENCH_TEMPLATES
                                              + (uint64_t) n))
                != 0)
            {
                return -1;
            }

            if (t[n].len > events->longest) {
                events->longest = t[n].len;
            }
        }
    }

    return 0;
}


static int
bench_template_make(const bench_events_t *events, bench_kind_e kind,
    bench_template_t *t, uint64_t random)
{
    char   *draft, id[BENCH_MESSAGE_SIZE];
    int     rc;
    size_t  len;

    draft = malloc(BENCH_TEXT_MAX);
    if (draft == NULL) {
        return -1;
    }

    t->first = bench_pick(bench_firsts, &random);
    t->last = bench_pick(bench_lasts, &random);
    t->plan = bench_pick(bench_plans, &random);
    t->company = bench_pick(bench_companies, &random);
    t->title = bench_pick(bench_titles, &random);
    t->timezone = bench_pick(bench_timezones, &random);
    t->locale = bench_pick(bench_locales, &random);
    t->tags = bench_pick(bench_tags, &random);
    t->seats = (unsigned) (bench_next(&random) % 500);

    (void) snprintf(t->name, sizeof(t->name), "%s %s", t->first, t->last);
    (void) snprintf(t->created, sizeof(t->created),
                    "2025-%02u-%02uT09:30:00.000Z",
                    (unsigned) (bench_next(&random) % 12 + 1),
                    (unsigned) (bench_next(&random) % 28 + 1));
    (void) snprintf(t->org, sizeof(t->org), "acme-%02u",
                    (unsigned) (bench_next(&random) % 100));
    (void) snprintf(t->employer, sizeof(t->employer),
                    "{\"id\":\"%s\",\"name\":\"%s\",\"industry\":\"%s\","
                    "\"employee_count\":%u,\"plan\":\"%s\"}",
                    t->org, t->company, bench_pick(bench_industries, &random),
                    (unsigned) (bench_next(&random) % 9000 + 1), t->plan);
    (void) snprintf(t->address, sizeof(t->address),
                    "{\"street\":\"%u %s\",\"city\":\"%s\","
                    "\"country\":\"%s\",\"postalCode\":\"",
                    (unsigned) (bench_next(&random) % 200 + 1),
                    bench_pick(bench_streets, &random),
                    bench_pick(bench_cities, &random),
                    bench_pick(bench_countries, &random));

    len = 0;

    bench_put(draft, &len, "{\"anonymousId\":\"%08x-%04x-4%03x-9c0b-%012llx\",",
              (unsigned) (bench_next(&random) & 0xffffffff),
              (unsigned) (bench_next(&random) & 0xffff),
              (unsigned) (bench_next(&random) & 0xfff),
              (unsigned long long) (bench_next(&random) & 0xffffffffffff));

    bench_put_context(draft, &len, t, &random);

    if (kind != BENCH_IDENTIFY && kind != BENCH_NESTED && kind != BENCH_PAGE) {
        bench_put(draft, &len, ",\"event\":\"%s\"",
                  kind == BENCH_OTHER ? BENCH_OTHER_EVENT : BENCH_EVENT);
    }

    bench_message_id(events, 0, id);
    id[strlen(id) - BENCH_NUMBER_WIDTH] = '\0';

    bench_put(draft, &len,
              ",\"integrations\":{\"Segment.io\":true,"
              "\"Webhooks (Actions)\":true},\"messageId\":\"%s"
              BENCH_HOLE_NUMBER "\",\"originalTimestamp\":\"" BENCH_DATE
              BENCH_HOLE_TIME "Z\"", id);

    if (kind == BENCH_OTHER || kind == BENCH_PAGE) {
        bench_put_unmapped(kind, draft, &len, t, &random);

    } else if (kind != BENCH_IDENTIFY && kind != BENCH_NESTED) {
        bench_put(draft, &len, ",\"properties\":" BENCH_PROPERTIES);
        bench_put_properties(events, kind, draft, &len, t, &random);
        bench_put(draft, &len, BENCH_PROPERTIES);
    }

    bench_put(draft, &len,
              ",\"receivedAt\":\"" BENCH_DATE BENCH_HOLE_TIME "Z\","
              "\"sentAt\":\"" BENCH_DATE BENCH_HOLE_TIME "Z\","
              "\"timestamp\":\"" BENCH_DATE BENCH_HOLE_TIME "Z\"");

    if (kind == BENCH_IDENTIFY || kind == BENCH_NESTED) {
        bench_put(draft, &len, ",\"traits\":");
        bench_put_traits(kind, draft, &len, t, &random);
        bench_put(draft, &len, ",\"type\":\"identify\",\"userId\":\"u"
                               BENCH_HOLE_TARGET "\",\"version\":2}");

    } else {
        bench_put(draft, &len, ",\"type\":\"%s\",\"userId\":\"u"
                               BENCH_HOLE_ACTOR "\",\"version\":2}",
                  kind == BENCH_PAGE ? "page" : "track");
    }

    rc = bench_template_cut(t, draft, len);

    free(draft);

    return rc;
}


/* Makes text and holes from a draft with marks in it. */

static int
bench_template_cut(bench_template_t *t, const char *draft, size_t len)
{
    char      *text;
    size_t     i, n, width, size, nholes;
    uint16_t   targets;

    size = len;
    nholes = 0;

    for (i = 0; i < len; i++) {
        if ((unsigned char) draft[i] < BENCH_EDGE) {
            size += BENCH_NUMBER_WIDTH;
            nholes++;
        }
    }

    text = malloc(size + 1);
    t->holes = calloc(nholes + 1, sizeof(bench_hole_t));

    if (text == NULL || t->holes == NULL) {
        free(text);
        return -1;
    }

    n = 0;
    targets = 0;

    for (i = 0; i < len; i++) {

        switch (draft[i]) {

        case BENCH_NUMBER:
            width = BENCH_NUMBER_WIDTH;
            break;

        case BENCH_TIME:
            width = BENCH_TIME_WIDTH;
            break;

        case BENCH_ACTOR:
        case BENCH_TARGET:
            width = BENCH_USER_WIDTH;
            break;

        case BENCH_EDGE:

            if (t->properties == 0) {
                t->properties = n;

            } else {
                t->properties_len = n - t->properties;
            }

            continue;

        default:
            text[n++] = draft[i];
            continue;
        }

        t->holes[t->nholes].offset = (uint32_t) n;
        t->holes[t->nholes].what = (uint16_t) draft[i];
        t->holes[t->nholes].index = 0;

        if (draft[i] == BENCH_TARGET) {
            t->holes[t->nholes].index = targets++;
        }

        t->nholes++;

        memset(text + n, '0', width);
        n += width;
    }

    t->text = text;
    t->len = n;

    return 0;
}


/* Appends to a draft, which has room for the largest. */

static void
bench_put(char *draft, size_t *len, const char *fmt, ...)
{
    int      n;
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(draft + *len, BENCH_TEXT_MAX - *len, fmt, args);
    va_end(args);

    if (n < 0 || (size_t) n >= BENCH_TEXT_MAX - *len) {
        (void) fprintf(stderr, "an event is longer than BENCH_TEXT_MAX: "
                               "raise it in bench/event.c\n");
        exit(2);
    }

    *len += (size_t) n;
}


static void
bench_put_context(char *draft, size_t *len, const bench_template_t *t,
    uint64_t *random)
{
    unsigned  document;

    document = (unsigned) (bench_next(random) % 10000);

    bench_put(draft, len,
              "\"context\":{\"app\":{\"build\":\"%u\",\"name\":\"Acme Docs\","
              "\"version\":\"5.%u.0\"},",
              (unsigned) (bench_next(random) % 9000 + 1000),
              (unsigned) (bench_next(random) % 30));

    if (bench_next(random) % 4 == 0) {
        bench_put(draft, len,
                  "\"campaign\":{\"medium\":\"email\",\"name\":\"spring\","
                  "\"source\":\"newsletter\"},");
    }

    bench_put(draft, len,
              "\"ip\":\"203.0.113.%u\",\"library\":{\"name\":\"analytics.js\","
              "\"version\":\"next-1.%u.0\"},\"locale\":\"%s\","
              "\"page\":{\"path\":\"/docs/roadmap-%04u\","
              "\"referrer\":\"https://app.example.com/home\",\"search\":\"\","
              "\"title\":\"Roadmap %04u\","
              "\"url\":\"https://app.example.com/docs/roadmap-%04u\"},"
              "\"timezone\":\"%s\",\"userAgent\":\"%s\"}",
              (unsigned) (bench_next(random) % 256),
              (unsigned) (bench_next(random) % 80), t->locale, document,
              document, document, t->timezone,
              bench_pick(bench_agents, random));
}


static void
bench_put_properties(const bench_events_t *events, bench_kind_e kind,
    char *draft, size_t *len, const bench_template_t *t, uint64_t *random)
{
    uint32_t  n, count;

    count = kind == BENCH_THREE ? BENCH_THREE_COUNT : events->recipients;

    bench_put(draft, len, "{\"recipients\":[");

    if (kind == BENCH_INLINE) {
        bench_put(draft, len,
                  "{\"id\":\"u" BENCH_HOLE_TARGET "\",\"name\":\"%s\","
                  "\"email\":\"user." BENCH_HOLE_NUMBER "@example.com\"}",
                  t->name);

    } else {
        for (n = 0; n < count; n++) {
            bench_put(draft, len, "%s\"u" BENCH_HOLE_TARGET "\"",
                      n ? "," : "");
        }
    }

    bench_put(draft, len,
              "],\"commenter\":{\"id\":\"u" BENCH_HOLE_ACTOR "\","
              "\"name\":\"%s %s\"},\"org\":\"%s\","
              "\"comment\":{\"id\":\"c" BENCH_HOLE_NUMBER "\",\"text\":\"",
              bench_pick(bench_firsts, random),
              bench_pick(bench_lasts, random), t->org);

    bench_put_words(draft, len, 190 + bench_next(random) % 120, random);

    bench_put(draft, len,
              "\",\"document\":\"roadmap-%04u\",\"line\":%u,"
              "\"resolved\":false,\"mentions\":[\"all\"]},\"weight\":%u.50}",
              (unsigned) (bench_next(random) % 10000),
              (unsigned) (bench_next(random) % 400),
              (unsigned) (bench_next(random) % 10));
}


/* What a page view, or a track that no action is for, says. */

static void
bench_put_unmapped(bench_kind_e kind, char *draft, size_t *len,
    const bench_template_t *t, uint64_t *random)
{
    unsigned  document;

    document = (unsigned) (bench_next(random) % 10000);

    if (kind == BENCH_PAGE) {
        bench_put(draft, len, ",\"name\":\"Roadmap\"");
    }

    bench_put(draft, len,
              ",\"properties\":{\"path\":\"/docs/roadmap-%04u\","
              "\"org\":\"%s\",\"document\":{\"id\":\"roadmap-%04u\","
              "\"version\":%u,\"shared\":true,\"tags\":%s},\"summary\":\"",
              document, t->org, document, (unsigned) (bench_next(random) % 90),
              t->tags);

    bench_put_words(draft, len, 190 + bench_next(random) % 120, random);
    bench_put(draft, len, "\"}");
}


static void
bench_put_traits(bench_kind_e kind, char *draft, size_t *len,
    const bench_template_t *t, uint64_t *random)
{
    bench_put(draft, len,
              "{\"email\":\"user." BENCH_HOLE_NUMBER "@example.com\","
              "\"firstName\":\"%s\",\"lastName\":\"%s\",\"name\":\"%s\","
              "\"phone\":\"+" BENCH_HOLE_NUMBER "\",\"plan\":\"%s\","
              "\"seats\":%u,\"createdAt\":\"%s\","
              "\"title\":\"%s\",\"timezone\":\"%s\",\"locale\":\"%s\","
              "\"tags\":%s,",
              t->first, t->last, t->name, t->plan, t->seats, t->created,
              t->title, t->timezone, t->locale, t->tags);

    if (kind == BENCH_NESTED) {
        bench_put(draft, len,
                  "\"company\":%s,\"address\":%s" BENCH_HOLE_NUMBER "\"},",
                  t->employer, t->address);

    } else {
        bench_put(draft, len, "\"company\":\"%s\",", t->company);
    }

    bench_put(draft, len, "\"about\":\"");

    bench_put_words(draft, len, 60 + bench_next(random) % 80, random);
    bench_put(draft, len, "\"}");
}


/* Words of a comment, at least `min` bytes of them. */

static void
bench_put_words(char *draft, size_t *len, size_t min, uint64_t *random)
{
    size_t  end;

    end = *len + min;

    bench_put(draft, len, "Well,");

    while (*len < end) {
        bench_put(draft, len, " %s", bench_pick(bench_words, random));
    }
}


static uint64_t
bench_next(uint64_t *random)
{
    *random = bench_mix(*random);

    return *random >> 8;
}
