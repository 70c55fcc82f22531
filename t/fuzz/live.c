
#include "fuzz.h"
#include "live.h"


#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define ACTION(key, event, parameters)                                       \
    "{\"key\":\"" key "\",\"source\":\"segment\",\"event\":\"" event "\","   \
    "\"type\":\"workflows_trigger\",\"workflow\":\"w\"," parameters "}"


static const char  *live_endpoints[] = {
    "segment/token", LIVE_TOKEN,
    "segment/identify_enabled", "1",
    "plain/token", LIVE_PLAIN,
    "plain/idempotency_enabled", "0"
};

static const char  *live_actions[] = {
    "a", ACTION("a", "track/Comment Created",
                "\"recipients\":\"properties.recipients\","
                "\"actor\":\"properties.commenter.id\","
                "\"tenant\":\"properties.org\","
                "\"cancellation_key\":\"properties.comment.id\""),
    "b", ACTION("b", "track/Invite Sent",
                "\"recipients\":\"data.invitees\","
                "\"actor\":\"data.inviter\",\"tenant\":\"data.org\","
                "\"cancellation_key\":\"data.invite.id\""),
    "c", ACTION("c", "track/Order Shipped",
                "\"recipients\":[\"properties.lines[*].watchers[*]\","
                "{\"literal\":[\"u9\"]}],\"actor\":\"userId\","
                "\"tenant\":\"properties.org\""),
    "d", ACTION("d", "track/Project Archived",
                "\"recipients\":\"properties.subjects\","
                "\"tenant\":{\"literal\":\"acme\"}"),
    "e", ACTION("e", "track/Comment Created",
                "\"recipients\":\"body[\\\"userId\\\"]\","
                "\"actor\":{\"literal\":{\"id\":\"x\",\"n\":1}}"),
    "f", ACTION("f", "identify",
                "\"recipients\":\"traits\",\"actor\":\"traits.friends[0]\""),
    "g", ACTION("g", "group",
                "\"recipients\":{\"literal\":[\"u1\",{\"id\":\"u2\","
                "\"p\":{\"q\":1}},{\"collection\":\"c:%\",\"id\":7}]}"),
};


static void
live_list(knock_str_t *list, const char **texts, size_t n)
{
    while (n--) {
        list[n].len = strlen(texts[n]);
        list[n].data = (unsigned char *) (uintptr_t) texts[n];
    }
}


knock_live_t *
live_build(knock_arena_t *arena)
{
    knock_str_t         prefix = knock_string("k");
    knock_str_t         environment = knock_string("e");
    knock_str_t         workflow = knock_string("w");
    knock_str_t         endpoints[N(live_endpoints)];
    knock_str_t         actions[N(live_actions)];
    knock_live_t       *live;
    knock_live_reply_t  reply;

    live_list(endpoints, live_endpoints, N(live_endpoints));
    live_list(actions, live_actions, N(live_actions));

    memset(&reply, 0, sizeof(knock_live_reply_t));

    knock_str_set(&reply.version, "v1");
    reply.endpoints = endpoints;
    reply.nendpoints = N(live_endpoints);
    reply.workflows = &workflow;
    reply.nworkflows = 1;
    reply.actions = actions;
    reply.nactions = N(live_actions);

    check(knock_live_build(arena, &prefix, &environment, 1, &reply, &live)
          == KNOCK_OK);
    check(live->nskipped == 0);

    return live;
}
