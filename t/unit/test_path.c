
/* knock_path: paths into an event, and what they find */

#include "fixture.h"

#include "knock_path.h"


static int
compile(const char *text, knock_path_t *path, knock_error_t *err)
{
    knock_str_t  str;

    str.len = strlen(text);
    str.data = (unsigned char *) text;

    return knock_path_compile(arena, &str, path, err);
}


/* what the path finds, as a JSON array of the texts */

static const char *
find(const char *text, const knock_json_t *event)
{
    size_t               i;
    knock_buf_t          buf;
    knock_str_t          found, value;
    knock_path_t         path;
    knock_error_t        err;
    knock_path_found_t   list;

    if (compile(text, &path, &err) != KNOCK_OK) {
        fail_msg("%s: %s", text, err.message);
    }

    assert_str(&path.text, text);
    assert_int_equal(knock_path_find(arena, &path, event, &list), KNOCK_OK);
    assert_true(path.many || list.n <= 1);

    knock_buf_init(&buf, arena, 64);

    for (i = 0; i < list.n; i++) {
        if (i > 0) {
            knock_buf_add_char(&buf, ' ');
        }

        value = knock_json_text(list.values[i]);
        knock_buf_add_str(&buf, &value);
    }

    knock_buf_add_char(&buf, '\0');
    assert_int_equal(knock_buf_str(&buf, &found), KNOCK_OK);

    return (const char *) found.data;
}


static void
paths_and_what_they_find(void **state)
{
    size_t               i;
    const char          *found;
    const knock_json_t  *event;

    static const char  *const text =
        "{\"userId\":\"u1\",\"context\":{\"ip\":\"1.2.3.4\"},"
        "\"properties\":{\"id\":7,\"commenter\":{\"id\":\"c1\"},"
        "\"null\":null,\"empty\":[],\"\":\"nameless\","
        "\"a.b\":{\"c\":\"dotted\"},\"a\":{\"b\":\"plain\"},"
        "\"First Name\":\"Sam\",\"q\\\"x\":\"quote\",\"l[0]\":\"bracket\","
        "\"\xc3\xa9t\xc3\xa9\":\"summer\",\"n\\u006fte\":\"escaped\","
        "\"$ref-1_x\":\"signs\",\"*\":\"star\",\"0\":\"zero\","
        "\"nul\\u0000\":\"nul\",\"dup\":1,\"dup\":2,"
        "\"list\":[\"x\",{\"id\":\"y\"},[1,[2,3]],null],"
        "\"grid\":[[1,2],[],[3],4,[[5]]],"
        "\"people\":[{\"id\":\"p1\",\"tags\":[\"a\",\"b\"]},{\"no\":1},"
        "{\"id\":null,\"tags\":[]},5,{\"id\":\"p4\",\"tags\":[\"c\"]}]},"
        "\"data\":{\"id\":\"of data\"},\"body\":{\"id\":\"of body\"}}";

    static const struct {
        const char  *path;
        const char  *found;
    } rows[] = {
        { "userId", "\"u1\"" },
        { "userid", "" },
        { "user", "" },
        { "userId.x", "" },
        { "userId[0]", "" },
        { "userId[*]", "" },
        { "context.ip", "\"1.2.3.4\"" },
        { "context.ip.x.y", "" },
        { "nothing", "" },
        { "nothing.at.all[3][*].x", "" },
        { "properties.id", "7" },
        { "properties.commenter", "{\"id\":\"c1\"}" },
        { "properties.commenter.id", "\"c1\"" },
        { "properties.Commenter.id", "" },
        { "properties.null", "null" },
        { "properties.null.x", "" },
        { "properties.null[0]", "" },
        { "properties.null[*]", "" },
        { "properties.dup", "2" },
        { "properties.a.b", "\"plain\"" },
        { "properties[\"a.b\"]", "{\"c\":\"dotted\"}" },
        { "properties[\"a.b\"].c", "\"dotted\"" },
        { "properties[\"a\\u002eb\"].c", "\"dotted\"" },
        { "properties[\"a\"][\"b\"]", "\"plain\"" },
        { "[\"properties\"].id", "7" },
        { "[\"properties\"][\"id\"]", "7" },
        { "properties[\"\"]", "\"nameless\"" },
        { "properties.First Name", "\"Sam\"" },
        { "properties[\"q\\\"x\"]", "\"quote\"" },
        { "properties[\"q\\u0022x\"]", "\"quote\"" },
        { "properties[\"l[0]\"]", "\"bracket\"" },
        { "properties.\xc3\xa9t\xc3\xa9", "\"summer\"" },
        { "properties[\"\\u00e9t\\u00e9\"]", "\"summer\"" },
        { "properties.note", "\"escaped\"" },
        { "properties[\"note\"]", "\"escaped\"" },
        { "properties[\"nul\\u0000\"]", "\"nul\"" },
        { "properties.nul", "" },
        { "properties.$ref-1_x", "\"signs\"" },
        { "properties.*", "\"star\"" },
        { "properties.0", "\"zero\"" },
        { "properties[0]", "" },
        { "properties[*]", "" },
        /* indexes */
        { "properties.list[0]", "\"x\"" },
        { "properties.list[1].id", "\"y\"" },
        { "properties.list[2][1][0]", "2" },
        { "properties.list[3]", "null" },
        { "properties.list[4]", "" },
        { "properties.list[3999999]", "" },
        { "properties.list[0][0]", "" },
        { "properties.list.0", "" },
        { "properties.list.id", "" },
        { "properties.empty[0]", "" },
        { "properties.empty", "[]" },
        /* every element */
        { "properties.empty[*]", "" },
        { "properties.list[*]",
          "\"x\" {\"id\":\"y\"} [1,[2,3]] null" },
        { "properties.list[*].id", "\"y\"" },
        { "properties.list[*][*]", "1 [2,3]" },
        { "properties.list[*][*][*]", "2 3" },
        { "properties.list[*][*][*][*]", "" },
        { "properties.list[2][*]", "1 [2,3]" },
        { "properties.list[*][1]", "[2,3]" },
        { "properties.grid[*][*]", "1 2 3 [5]" },
        { "properties.grid[*][0]", "1 3 [5]" },
        { "properties.people[*].id", "\"p1\" null \"p4\"" },
        { "properties.people[*].tags[*]", "\"a\" \"b\" \"c\"" },
        { "properties.people[*].tags", "[\"a\",\"b\"] [] [\"c\"]" },
        { "properties.people[*].tags[1]", "\"b\"" },
        { "properties.people[*][\"id\"]", "\"p1\" null \"p4\"" },
        /* data and body */
        { "data.id", "7" },
        { "data[\"id\"]", "7" },
        { "data.list[0]", "\"x\"" },
        { "[\"data\"].id", "\"of data\"" },
        { "body.data.id", "\"of data\"" },
        { "body.userId", "\"u1\"" },
        { "body.properties.id", "7" },
        { "body.body.id", "\"of body\"" },
        { "body[\"body\"].id", "\"of body\"" },
        { "[\"body\"].id", "\"of body\"" },
        { "body[0]", "" },
        { "[0]", "" },
        { "[*]", "" },
        { "databank", "" },
        { "properties.data", "" },
    };

    (void) state;

    event = parse(text);

    for (i = 0; i < N(rows); i++) {
        found = find(rows[i].path, event);

        if (strcmp(found, rows[i].found) != 0) {
            fail_msg("%s: found %s, expected %s", rows[i].path, found,
                     rows[i].found);
        }
    }

    assert_string_equal(find("body", event), text);
}


static void
data_alone_is_the_properties_and_body_the_event(void **state)
{
    knock_path_t   path;
    knock_error_t  err;

    (void) state;

    assert_int_equal(compile("data", &path, &err), KNOCK_OK);
    assert_int_equal(path.nsteps, 1);
    assert_str(&path.steps[0].key, "properties");
    assert_str(&path.text, "data");

    assert_int_equal(compile("body", &path, &err), KNOCK_OK);
    assert_int_equal(path.nsteps, 0);
    assert_false(path.many);
}


static void
steps_and_many(void **state)
{
    knock_path_t   path;
    knock_error_t  err;

    (void) state;

    assert_int_equal(compile("a[10][*][\"b\\n\"]", &path, &err), KNOCK_OK);
    assert_int_equal(path.nsteps, 4);
    assert_true(path.many);
    assert_int_equal(path.steps[0].type, KNOCK_PATH_KEY);
    assert_str(&path.steps[0].key, "a");
    assert_int_equal(path.steps[1].type, KNOCK_PATH_INDEX);
    assert_int_equal(path.steps[1].index, 10);
    assert_int_equal(path.steps[2].type, KNOCK_PATH_ALL);
    assert_int_equal(path.steps[3].type, KNOCK_PATH_KEY);
    assert_str(&path.steps[3].key, "b\n");

    assert_int_equal(compile("a[\"*\"].b[0]", &path, &err), KNOCK_OK);
    assert_false(path.many);
}


static void
the_strings_of_a_path_are_its_own(void **state)
{
    char           text[] = "properties[\"x\"].y";
    knock_str_t    str = knock_string(text);
    knock_path_t   path;
    knock_error_t  err;

    (void) state;

    assert_int_equal(knock_path_compile(arena, &str, &path, &err), KNOCK_OK);
    memset(text, '#', sizeof(text));

    assert_str(&path.text, "properties[\"x\"].y");
    assert_str(&path.steps[0].key, "properties");
    assert_str(&path.steps[1].key, "x");
    assert_str(&path.steps[2].key, "y");
}


static void
a_mistake_is_named_with_its_column(void **state)
{
    size_t         i;
    char           column[32];
    knock_path_t   path;
    knock_error_t  err;

    static const struct {
        const char  *path;
        size_t       column;    /* from 0 */
        const char  *says;
    } rows[] = {
        { "", 0, "expected a path" },
        { ".", 0, "expected a key" },
        { ".a", 0, "expected a key" },
        { "a.", 2, "expected a key after \".\"" },
        { "properties.", 11, "expected a key after \".\"" },
        { "a..b", 2, "expected a key after \".\"" },
        { "a.[0]", 2, "expected a key after \".\"" },
        { "a.[\"b\"]", 2, "expected a key after \".\"" },
        { "body.", 5, "expected a key after \".\"" },
        { "data..x", 5, "expected a key after \".\"" },
        { "a[", 2, "expected a number, * or a quoted key" },
        { "[", 1, "expected a number, * or a quoted key" },
        { "a[]", 2, "expected a number, * or a quoted key" },
        { "a[x]", 2, "expected a number, * or a quoted key" },
        { "a[-1]", 2, "expected a number, * or a quoted key" },
        { "a[+1]", 2, "expected a number, * or a quoted key" },
        { "a[ 1]", 2, "expected a number, * or a quoted key" },
        { "a['b']", 2, "expected a number, * or a quoted key" },
        { "a[1", 3, "expected \"]\"" },
        { "a[1.5]", 3, "expected \"]\"" },
        { "a[1e3]", 3, "expected \"]\"" },
        { "a[1 ]", 3, "expected \"]\"" },
        { "a[*", 3, "expected \"]\"" },
        { "a[**]", 3, "expected \"]\"" },
        { "a[\"b\"", 5, "expected \"]\"" },
        { "a[\"b\"x]", 5, "expected \"]\"" },
        { "a[\"b", 4, "expected the quote" },
        { "a[\"", 3, "expected the quote" },
        { "a[\"b]", 5, "expected the quote" },
        { "a[\"b\\\"]", 7, "expected the quote" },
        { "a[\"\\", 4, "expected the quote" },
        { "a[\"b\nc\"]", 4, "JSON string" },
        { "a[4000000]", 2, "below 4000000" },
        { "a[99999999999999999999999999]", 2, "below 4000000" },
        { "a[0]b", 4, "expected \".\" or \"[\"" },
        { "a[*] ", 4, "expected \".\" or \"[\"" },
        { "a[\"b\"]]", 6, "expected \".\" or \"[\"" },
        { "a]", 1, "to be quoted" },
        { "a.]", 2, "to be quoted" },
        { "a\"b\"", 1, "to be quoted" },
        { "\"a\"", 0, "to be quoted" },
        { "a.\"b.c\"", 2, "to be quoted" },
        { "a\tb", 1, "to be quoted" },
        { "a\x7f", 1, "to be quoted" },
        { " userId", 0, "space" },
        { "userId ", 6, "space" },
        { "properties. x", 11, "space" },
        { "properties.x .y", 12, "space" },
        { " ", 0, "space" },
        /* columns are characters, not bytes */
        { "\xc3\xa9t\xc3\xa9.", 4, "expected a key after \".\"" },
        { "a[\"\xf0\x9f\x98\x80\"", 5, "expected \"]\"" },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        memset(&err, 0, sizeof(err));

        if (compile(rows[i].path, &path, &err) != KNOCK_ERROR) {
            fail_msg("accepted: %s", rows[i].path);
        }

        assert_int_equal(err.code, KNOCK_E_INVALID_ACTION);

        (void) snprintf(column, sizeof(column), "column %zu: ",
                        rows[i].column + 1);

        if (err.offset != rows[i].column
            || strncmp(err.message, column, strlen(column)) != 0
            || strstr(err.message, rows[i].says) == NULL)
        {
            fail_msg("%s: offset %zu, %s", rows[i].path, err.offset,
                     err.message);
        }
    }
}


static void
a_bad_escape_in_a_quoted_key_is_refused(void **state)
{
    size_t         i;
    knock_path_t   path;
    knock_error_t  err;

    static const char  *const rows[] = {
        "a[\"\\x\"]", "a[\"\\u12\"]", "a[\"\\ud800\"]", "a[\"\xff\"]",
        "a[\"\\ud83d\\u0041\"]",
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        assert_int_equal(compile(rows[i], &path, &err), KNOCK_ERROR);
        assert_int_equal(err.code, KNOCK_E_INVALID_ACTION);
        assert_true(err.offset >= 2 && err.offset <= strlen(rows[i]));
        assert_non_null(strstr(err.message, "JSON string"));
    }
}


static void
at_most_1024_bytes_and_32_steps(void **state)
{
    size_t         i;
    knock_path_t   path;
    knock_error_t  err;

    static const struct {
        const char  *prefix;
        const char  *unit;
        size_t       n;
        const char  *suffix;
        const char  *says;      /* NULL: it compiles */
        size_t       column;
    } rows[] = {
        { "", "k", 1024, "", NULL, 0 },
        { "", "k", 1025, "", "1024 bytes", 1024 },
        { "", "k", 100000, "", "1024 bytes", 1024 },
        { "a", ".b", 31, "", NULL, 0 },
        { "a", ".b", 32, "", "32 steps", 64 },
        { "body", ".b", 32, "", NULL, 0 },
        { "body", "[*]", 32, "", NULL, 0 },
        { "body", "[*]", 33, "", "32 steps", 4 + 32 * 3 },
        { "", "[0]", 32, "", NULL, 0 },
        { "", "[0]", 32, "[\"x\"]", "32 steps", 96 },
    };

    (void) state;

    for (i = 0; i < N(rows); i++) {
        const char  *text = repeat(rows[i].prefix, rows[i].unit, rows[i].n,
                                   rows[i].suffix);

        if (rows[i].says == NULL) {
            assert_int_equal(compile(text, &path, &err), KNOCK_OK);
            continue;
        }

        assert_int_equal(compile(text, &path, &err), KNOCK_ERROR);
        assert_int_equal(err.code, KNOCK_E_INVALID_ACTION);
        assert_int_equal(err.offset, rows[i].column);
        assert_non_null(strstr(err.message, rows[i].says));
    }
}


static void
a_nul_in_a_path_does_not_cut_it_short(void **state)
{
    knock_str_t    str = knock_string("userId\0x");
    knock_path_t   path;
    knock_error_t  err;

    (void) state;

    assert_int_equal(knock_path_compile(arena, &str, &path, &err),
                     KNOCK_ERROR);
    assert_int_equal(err.offset, 6);
}


static void
a_large_list_is_walked_once(void **state)
{
    size_t               i;
    knock_path_t         path;
    knock_error_t        err;
    knock_path_found_t   found;
    const knock_json_t  *event;

    (void) state;

    event = parse(repeat("{\"l\":[[{\"id\":1}]", ",[{\"id\":1},{\"id\":2}]",
                         100000, "]}"));

    assert_int_equal(compile("l[*][*].id", &path, &err), KNOCK_OK);
    assert_int_equal(knock_path_find(arena, &path, event, &found), KNOCK_OK);
    assert_int_equal(found.n, 200001);

    for (i = 1; i < found.n; i++) {
        assert_int_equal(found.values[i]->data[0], i % 2 ? '1' : '2');
    }
}


static void
an_event_that_is_no_object(void **state)
{
    (void) state;

    assert_string_equal(find("userId", parse("[1,2]")), "");
    assert_string_equal(find("[1]", parse("[1,2]")), "2");
    assert_string_equal(find("body[*]", parse("[1,2]")), "1 2");
    assert_string_equal(find("a", parse("\"a\"")), "");
    assert_string_equal(find("body", parse("7")), "7");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(
            paths_and_what_they_find, setup, teardown),
        cmocka_unit_test_setup_teardown(
            data_alone_is_the_properties_and_body_the_event, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_and_many, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_strings_of_a_path_are_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_mistake_is_named_with_its_column, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_bad_escape_in_a_quoted_key_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(
            at_most_1024_bytes_and_32_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_nul_in_a_path_does_not_cut_it_short, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_large_list_is_walked_once, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_event_that_is_no_object, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
