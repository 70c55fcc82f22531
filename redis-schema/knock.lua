#!lua name=knock

--
-- The Redis side of ngx_knock: every state change that must be atomic is one
-- function of this library.
--
-- The worker does all JSON work; what arrives here are finished strings, which
-- are stored, moved and put together, and never decoded and encoded again
-- (cjson would turn [] into {} and round numbers).  Every key that a function
-- touches comes in KEYS, and all keys of one call stand in one slot.  The
-- first argument of every call is the version of the library that the caller
-- was built with.
--
-- A function reads and decides first, and writes only when nothing can fail
-- any more: Redis does not roll back.
--
-- Functions of the control plane answer { status, JSON, ETag }: an HTTP
-- status, the body of the answer, and the tag that an If-Match has to name
-- ('' where there is none).  Those that answer a list of parts for the worker
-- to compose say so; an error of theirs has the first form, so that its first
-- element is an integer.
--

local VERSION = 5

-- the oldest caller whose arguments can be read by knock_apply, and by what
-- reads and tests runs
local APPLY_SINCE = 3
local RUNS_SINCE = 4

-- unpack() is bounded by Lua's C stack
local CHUNK = 4000

-- a page of a list ends behind the element that brings it to this
local PAGE_BYTES = 1024 * 1024
local PAGE_LENGTH = 1000

-- entries of a log that are looked through for one page of a filtered log
local LOG_SCAN = 5000
local LOG_STEP = 250

-- the fixed keys of knock_apply
local K_VERSION, K_RUNS, K_SEEN, K_LARGE, K_FIRST = 1, 2, 3, 5, 6

-- its arguments with a place of their own
local A_TOKEN, A_PLAN, A_NUMBERS, A_MARKS = 6, 7, 8, 9

-- An entity may hold MAX_BYTES.  To measure one costs a read of it all, so
-- only those that may be near are measured: members of the set of large ones
-- (over LARGE_BYTES when last measured, or over LARGE_FIELDS fields), and
-- whatever a unit brings CHECK_BYTES or more to.  What is not in the set
-- stays under LARGE_BYTES + LARGE_FIELDS * CHECK_BYTES, below the bound.
local MAX_BYTES = 256 * 1024
local LARGE_BYTES = 32 * 1024
local LARGE_FIELDS = 100
local CHECK_BYTES = 2048

-- Strings of stored entities that are read before Lua is told to forget them.
-- They are senders' and may have been chosen so that all stand in one chain of
-- Lua's table of strings, which has no seed: a new one is compared with all.
local STRINGS = 4096


local function check_version(args)
    if (tonumber(args[1]) or 0) > VERSION then
        return redis.error_reply('KNOCKLIB version ' .. VERSION
                                 .. ' is older than its caller, load version '
                                 .. args[1])
    end
end


local function now_ms()
    local t = redis.call('TIME')

    return t[1] * 1000 + math.floor(t[2] / 1000)
end


local function ms_string(ms)
    return string.format('%.0f', ms)
end


-- calls `command key list...` as often as the list's length asks: with all of
-- it, or from..to; gives the sum of what is answered

local function call_chunked(command, key, list, from, to)
    local sum = 0

    to = to or #list

    for first = from or 1, to, CHUNK do
        sum = sum + redis.call(command, key,
                               unpack(list, first,
                                      math.min(first + CHUNK - 1, to)))
    end

    return sum
end


-- keys are put in order by their bytes: Lua's < goes by the server's locale

local function precedes(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = string.byte(a, i), string.byte(b, i)

        if x ~= y then
            return x < y
        end
    end

    return #a < #b
end


local function sort(keys)
    table.sort(keys, precedes)

    return keys
end


-- ---------------------------------------------------------------------------
-- texts: JSON put together from JSON, and answers
-- ---------------------------------------------------------------------------

local function quote(text)
    return (string.gsub(cjson.encode(text), '\\/', '/'))
end


local function bool(value)
    return value and 'true' or 'false'
end


-- the text of an object with more members, `"name":value,...`, at its end

local function with(object, members)
    local head = string.match(object, '^(.*)}%s*$') or '{'

    if string.find(head, '^%s*{%s*$') then
        return head .. members .. '}'
    end

    return head .. ',' .. members .. '}'
end


-- days since 1970 as year, month, day, counted in years that begin in March

local function civil(days)
    local z = days + 719468
    local era = math.floor(z / 146097)
    local doe = z - era * 146097
    local yoe = math.floor((doe - math.floor(doe / 1460)
                            + math.floor(doe / 36524)
                            - math.floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local mp = math.floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9

    return yoe + era * 400 + (month <= 2 and 1 or 0), month,
           doy - math.floor((153 * mp + 2) / 5) + 1
end


-- a time in ms, as a number or a string, as JSON; null if there is none

local function json_time(ms)
    ms = tonumber(ms or nil)

    if not ms then
        return 'null'
    end

    local year, month, day = civil(math.floor(ms / 86400000))
    local seconds = math.floor(ms / 1000)

    return string.format('"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"',
                         year, month, day, math.floor(seconds / 3600) % 24,
                         math.floor(seconds / 60) % 60, seconds % 60,
                         ms % 1000)
end


local function failed(status, code, message)
    return {
        status,
        '{"error":{"code":"' .. code .. '","message":' .. quote(message)
        .. '}}',
        ''
    }
end


local function not_found(what, key)
    return failed(404, 'not_found',
                  'there is no ' .. what .. ' "' .. key .. '"')
end


local function stale(what, key)
    return failed(412, 'stale', what .. ' "' .. key .. '" is not what If-Match'
                  .. ' or If-None-Match says: read it again, and repeat the'
                  .. ' change on that')
end


local function bad_cursor(cursor)
    return failed(422, 'invalid_cursor', 'no list answered the cursor "'
                  .. cursor .. '": leave it out to begin anew')
end


-- Whether a text, or nil, is what an if_match asks for: conditions with spaces
-- between, each "*" (there is one) or ETags with commas between (it has one of
-- them), or with a "!" in front the contrary.

local function matches(if_match, text)
    if if_match == '' then
        return true
    end

    local tag = text and redis.sha1hex(text)

    for negated, tags in string.gmatch(if_match, '(!?)(%S+)') do
        local named = tag and (tags == '*'
                               or string.find(',' .. tags .. ',',
                                              ',' .. tag .. ',', 1, true))

        if named and negated == '!' or not named and negated == '' then
            return false
        end
    end

    return true
end


local function page_length(limit)
    local n = math.floor(tonumber(limit) or PAGE_LENGTH)

    return math.max(1, math.min(n, PAGE_LENGTH))
end


-- The cursor of a list that is paged by place: how many come before, or nil
-- if it is none.

local function page_offset(cursor)
    if cursor == '' then
        return 0
    end

    return string.find(cursor, '^%d+$') and #cursor < 10 and tonumber(cursor)
end


-- `cursor` is JSON; `members` are more members of the answer, or nil

local function list(items, cursor, members)
    return {
        200,
        '{"items":[' .. table.concat(items, ',') .. '],"cursor":' .. cursor
        .. (members and ',' .. members or '') .. '}',
        ''
    }
end


-- A page of what render(key) gives (nil: to be left out) for sorted keys; the
-- cursor is the last key of the page before.

local function page_of_keys(keys, limit, cursor, render, members)
    local items, bytes, last = {}, 0, nil

    limit = page_length(limit)

    for _, key in ipairs(keys) do
        if cursor == '' or precedes(cursor, key) then
            if #items == limit or bytes >= PAGE_BYTES then
                return list(items, quote(last), members)
            end

            local item = render(key)

            if item then
                items[#items + 1] = item
                bytes = bytes + #item
                last = key
            end
        end
    end

    return list(items, 'null', members)
end


local function is_object(text)
    return string.find(text, '^%s*{.*}%s*$') ~= nil
end


local function not_an_object(what)
    return redis.error_reply('ERR the ' .. what .. ' is no JSON object')
end


local function valid_key(key)
    return #key <= 64 and string.find(key, '^[%w_-]+$')
end


-- what a version is made of: seconds, microseconds, count; zeros if it is none

local function version_parts(version)
    local s, us, n = string.match(version or '', '^(%d+)%.(%d+)%-(%d+)$')

    return tonumber(s) or 0, tonumber(us) or 0, tonumber(n) or 0
end


-- A version is never used twice, not even after a flush or a failover that
-- lost the newest writes: it carries the time.  It never goes back, whatever
-- the clock does, so that of two versions the newer one can be told.

local function bump_version(key)
    local t = redis.call('TIME')
    local s, us, n = version_parts(redis.call('GET', key))
    local now, now_us = tonumber(t[1]), tonumber(t[2])

    if now < s or (now == s and now_us < us) then
        now, now_us = s, us
    end

    redis.call('SET', key, string.format('%.0f.%06d-%.0f', now, now_us, n + 1))
end


local function is_newer(version, than)
    local s, us, n = version_parts(version)
    local s0, us0, n0 = version_parts(than)

    if s ~= s0 then
        return s > s0
    end

    if us ~= us0 then
        return us > us0
    end

    return n > n0
end


-- A shard has the version of the environment's configuration too, so that an
-- event that comes after a change finds it there.  It takes a newer one from
-- whoever has one, and `version` in place of `seen`, which the environment has
-- lost (it was read after `seen` was found here).  Gives whether `version` is
-- the shard's now, and the shard's.

local function follow(key, version, seen)
    local own = redis.call('GET', key) or '0'

    if own ~= version and (own == seen or is_newer(version, own)) then
        redis.call('SET', key, version)
        own = version
    end

    return own == version, own
end


-- KEYS: version of a shard
-- ARGV: library version, version of the environment, what the shard had
--       before that was read
-- Gives the shard's version.

local function version_follow(keys, args)
    local _, own = follow(keys[1], args[2], args[3])

    return own
end


-- KEYS: version
-- Does nothing, as a function that may write: where Redis takes no writes it
-- answers an error instead.

local function ready()
    return redis.status_reply('OK')
end


-- KEYS: keys of any kind
-- Gives '1' or '0' for each, in one string.

local function which_exist(keys)
    local found = {}

    for i, key in ipairs(keys) do
        found[i] = redis.call('EXISTS', key)
    end

    return table.concat(found)
end


-- ---------------------------------------------------------------------------
-- environments
-- ---------------------------------------------------------------------------

local DEFAULT_ENVIRONMENTS = { 'development', 'production' }
local DEFAULT_NAMES = { development = 'Development', production = 'Production' }


-- KEYS: environments
-- ARGV: library version
-- Gives the keys of the environments in order.

local function environments(keys)
    local order = redis.call('LRANGE', keys[1], 0, -1)

    return #order > 0 and order or DEFAULT_ENVIRONMENTS
end


-- KEYS: environments, environment_info
-- ARGV: library version
-- Answers the list of all.

local function environment_list(keys)
    local items = {}

    for i, key in ipairs(environments(keys)) do
        items[i] = redis.call('HGET', keys[2], key)
                   or '{"key":' .. quote(key) .. ',"name":'
                      .. quote(DEFAULT_NAMES[key] or key)
                      .. ',"created_at":null}'
    end

    return list(items, 'null')
end


-- KEYS: environments, environment_info
-- ARGV: library version, key, document, the environment that it is to stand
--       behind or ''
-- Answers 201; 409 exists; 422 invalid_environment.

local function environment_create(keys, args)
    local key, doc, after = args[2], args[3], args[4]
    local place

    if not is_object(doc) then
        return not_an_object('environment')
    end

    if not valid_key(key) or string.find(key, '%u') then
        return failed(422, 'invalid_environment',
                      'a key has 1 to 64 of a-z, 0-9, _ and -')
    end

    for _, other in ipairs(environments(keys)) do
        if other == key then
            return failed(409, 'exists',
                          'there is an environment "' .. key .. '"')
        end

        place = place or other == after
    end

    if after ~= '' and not place then
        return failed(422, 'invalid_environment', 'there is no environment "'
                      .. after .. '" for it to stand after')
    end

    if redis.call('EXISTS', keys[1]) == 0 then
        redis.call('RPUSH', keys[1], unpack(DEFAULT_ENVIRONMENTS))
    end

    if after == '' then
        redis.call('RPUSH', keys[1], key)
    else
        redis.call('LINSERT', keys[1], 'AFTER', after, key)
    end

    redis.call('HSET', keys[2], key, doc)

    return { 201, doc, '' }
end


-- ---------------------------------------------------------------------------
-- sources
-- ---------------------------------------------------------------------------

-- KEYS: sources
-- ARGV: library version, limit, cursor
-- Answers a page in order of key.

local function source_list(keys, args)
    local all = sort(redis.call('HKEYS', keys[1]))

    return page_of_keys(all, args[2], args[3], function(key)
        return redis.call('HGET', keys[1], key)
    end)
end


-- KEYS: sources
-- ARGV: library version
-- Gives the keys of all, in order.

local function source_keys(keys)
    return sort(redis.call('HKEYS', keys[1]))
end


-- KEYS: sources
-- ARGV: library version, key, document
-- Answers 201; 409 exists; 422 invalid_source.

local function source_create(keys, args)
    local key, doc = args[2], args[3]

    if not valid_key(key) then
        return failed(422, 'invalid_source',
                      'a key has 1 to 64 of A-Z, a-z, 0-9, _ and -')
    end

    if not is_object(doc) then
        return not_an_object('source')
    end

    if redis.call('HSETNX', keys[1], key, doc) == 0 then
        return failed(409, 'exists', 'there is a source "' .. key .. '"')
    end

    return { 201, doc, redis.sha1hex(doc) }
end


-- KEYS: sources
-- ARGV: library version, key, if_match, which may be left out
-- Answers 200; 404; 412.

local function source_get(keys, args)
    local doc = redis.call('HGET', keys[1], args[2])

    if not doc then
        return not_found('source', args[2])
    end

    if not matches(args[3] or '', doc) then
        return stale('source', args[2])
    end

    return { 200, doc, redis.sha1hex(doc) }
end


-- KEYS: sources
-- ARGV: library version, key, document, if_match
-- Answers 200; 404; 412.

local function source_set(keys, args)
    local key, doc = args[2], args[3]
    local current = redis.call('HGET', keys[1], key)

    if not is_object(doc) then
        return not_an_object('source')
    end

    if not current then
        return not_found('source', key)
    end

    if not matches(args[4], current) then
        return stale('source', key)
    end

    redis.call('HSET', keys[1], key, doc)

    return { 200, doc, redis.sha1hex(doc) }
end


-- KEYS: sources
-- ARGV: library version, key
-- Answers 204; 404.

local function source_delete(keys, args)
    if redis.call('HDEL', keys[1], args[2]) == 0 then
        return not_found('source', args[2])
    end

    return { 204, '', '' }
end


-- ---------------------------------------------------------------------------
-- endpoints: fields SOURCE/NAME of one hash
--
-- token, created_at, enabled, identify_enabled, idempotency_enabled,
-- signing_secret, and `revision`, which counts the changes, so that the ETag
-- tells of a new secret and not of what it is.  A token and a secret may have
-- one predecessor each, `previous_NAME`, which counts until the time in
-- `previous_NAME_valid_until`, in ms.
-- ---------------------------------------------------------------------------

local SETTINGS = {
    enabled = true,
    identify_enabled = true,
    idempotency_enabled = true,
    signing_secret = true,
    previous_signing_secret = true,
    previous_signing_secret_valid_until = true,
    grace_seconds = true
}


-- the names of a predecessor's fields

local function previous_fields(prefix, name)
    local field = prefix .. 'previous_' .. name

    return field, field .. '_valid_until'
end


local function is_over(valid_until)
    return (tonumber(valid_until or nil) or 0) <= now_ms()
end


-- Another token or secret: what was there is its predecessor for `grace`
-- seconds, and what was the predecessor is none any more.  The same one again
-- leaves both as they are: it may be a retry.

local function endpoint_replace(hash, prefix, name, value, grace)
    local old = redis.call('HGET', hash, prefix .. name)
    local previous, valid_until = previous_fields(prefix, name)
    local seconds = tonumber(grace) or 0

    if old == value then
        return
    end

    if old and old ~= '' and value ~= '' and seconds > 0 then
        redis.call('HSET', hash, previous, old,
                   valid_until, ms_string(now_ms() + seconds * 1000))
    else
        redis.call('HDEL', hash, previous, valid_until)
    end

    if value == '' then
        redis.call('HDEL', hash, prefix .. name)
    else
        redis.call('HSET', hash, prefix .. name, value)
    end
end


-- what every change of an endpoint ends with

local function endpoint_changed(version, hash, prefix)
    for _, name in ipairs({ 'token', 'signing_secret' }) do
        local previous, valid_until = previous_fields(prefix, name)

        if is_over(redis.call('HGET', hash, valid_until)) then
            redis.call('HDEL', hash, previous, valid_until)
        end
    end

    redis.call('HINCRBY', hash, prefix .. 'revision', 1)
    bump_version(version)
end


-- KEYS: version, endpoints
-- ARGV: library version, source, then field and value in turn
-- Sets fields of a source's endpoint in this environment.

local function endpoint_set(keys, args)
    local prefix = args[2] .. '/'

    for i = 3, #args, 2 do
        redis.call('HSET', keys[2], prefix .. args[i], args[i + 1])
    end

    endpoint_changed(keys[1], keys[2], prefix)

    return redis.status_reply('OK')
end


-- the text of a source's endpoint, and its ETag; nil if there is none

local function endpoint_text(hash, catalogue, source, environment, url_prefix)
    local names = { 'token', 'enabled', 'identify_enabled',
                    'idempotency_enabled', 'signing_secret', 'revision',
                    'previous_signing_secret_valid_until',
                    'previous_token_valid_until' }
    local fields = {}

    for i, name in ipairs(names) do
        fields[i] = source .. '/' .. name
    end

    local values = redis.call('HMGET', hash, unpack(fields))
    local token, enabled, identify, idempotency, secret, revision,
          secret_until, token_until = unpack(values)

    if not token or token == '' then
        return nil
    end

    local settings = '{"source":' .. quote(source)
        .. ',"environment":' .. quote(environment)
        .. ',"token":' .. quote(token)
        .. ',"url":' .. quote(url_prefix .. token)
        .. ',"enabled":' .. bool(enabled ~= '0')
        .. ',"identify_enabled":' .. bool(identify and identify ~= '0')
        .. ',"idempotency_enabled":' .. bool(idempotency ~= '0')
        .. ',"signing_secret_set":' .. bool(secret and secret ~= '')
        .. '}'
    local newest = redis.call('ZREVRANGE', catalogue, 0, 0, 'WITHSCORES')

    -- no part of the tag: it ends by itself

    local kept = not is_over(secret_until)
    local graces = '"previous_signing_secret_set":' .. bool(kept)
        .. ',"previous_signing_secret_valid_until":'
        .. json_time(kept and secret_until)
        .. ',"previous_token_valid_until":'
        .. json_time(not is_over(token_until) and token_until)

    return with(settings, graces .. ',"last_event_at":'
                          .. json_time(newest[2])),
           settings .. (revision or '')
end


local function endpoint_answer(hash, catalogue, args)
    local text, tag = endpoint_text(hash, catalogue, args[2], args[3], args[4])

    if not text then
        return failed(404, 'not_found', 'there is no source "' .. args[2]
                      .. '" in the environment "' .. args[3] .. '"')
    end

    return { 200, text, redis.sha1hex(tag) }, tag
end


-- KEYS: endpoints, catalogue
-- ARGV: library version, source, environment, URL up to the token
-- Answers 200; 404.

local function endpoint_get(keys, args)
    return (endpoint_answer(keys[1], keys[2], args))
end


-- KEYS: version, endpoints
-- ARGV: library version, source, token, time
-- Gives a source an endpoint unless it has one.  Answers 200.

local function endpoint_create(keys, args)
    local prefix = args[2] .. '/'

    if redis.call('HEXISTS', keys[2], prefix .. 'token') == 0 then
        redis.call('HSET', keys[2], prefix .. 'token', args[3],
                   prefix .. 'created_at', args[4])
        redis.call('HINCRBY', keys[2], prefix .. 'revision', 1)
        bump_version(keys[1])
    end

    return { 200, '', '' }
end


-- KEYS: version, endpoints, catalogue
-- ARGV: library version, source, environment, URL up to the token, if_match,
--       then setting and value in turn ('0' or '1'; a secret, '' takes it out;
--       a time in ms; grace_seconds, for the secret that is replaced)
-- Answers 200; 404; 412.

local function endpoint_patch(keys, args)
    local prefix = args[2] .. '/'
    local given = {}
    local answer, tag = endpoint_answer(keys[2], keys[3], args)

    if not tag then
        return answer
    end

    if not matches(args[5], tag) then
        return stale('the endpoint of source', args[2])
    end

    if #args % 2 ~= 1 then
        return redis.error_reply('ERR a setting has no value')
    end

    for i = 6, #args, 2 do
        if not SETTINGS[args[i]] then
            return redis.error_reply('ERR unknown setting "' .. args[i] .. '"')
        end

        given[args[i]] = args[i + 1]
    end

    if #args < 6 then
        return answer
    end

    if given.signing_secret then
        endpoint_replace(keys[2], prefix, 'signing_secret',
                         given.signing_secret, given.grace_seconds)
    end

    if given.previous_signing_secret == '' then
        given.previous_signing_secret_valid_until = '0'
    end

    given.signing_secret, given.grace_seconds = nil, nil

    for setting, value in pairs(given) do
        redis.call('HSET', keys[2], prefix .. setting, value)
    end

    endpoint_changed(keys[1], keys[2], prefix)

    return (endpoint_answer(keys[2], keys[3], args))
end


-- KEYS: version, endpoints, catalogue
-- ARGV: library version, source, environment, URL up to the token, new token,
--       if_match, seconds that the old one is valid still; these two may be
--       left out
-- Answers 200; 404; 412.

local function endpoint_rotate(keys, args)
    local prefix = args[2] .. '/'
    local answer, tag = endpoint_answer(keys[2], keys[3], args)

    if not tag then
        return answer
    end

    if not matches(args[6] or '', tag) then
        return stale('the endpoint of source', args[2])
    end

    endpoint_replace(keys[2], prefix, 'token', args[5], args[7])
    endpoint_changed(keys[1], keys[2], prefix)

    return (endpoint_answer(keys[2], keys[3], args))
end


-- KEYS: version, endpoints, catalogue, catalogue_info, log
-- ARGV: library version, source
-- Takes out an endpoint with all that it has received.  Answers 204.

local function endpoint_delete(keys, args)
    local prefix = args[2] .. '/'
    local fields = {}

    for _, field in ipairs(redis.call('HKEYS', keys[2])) do
        if string.sub(field, 1, #prefix) == prefix then
            fields[#fields + 1] = field
        end
    end

    redis.call('UNLINK', keys[3], keys[4], keys[5])

    if #fields > 0 then
        redis.call('HDEL', keys[2], unpack(fields))
        bump_version(keys[1])
    end

    return { 204, '', '' }
end


-- ---------------------------------------------------------------------------
-- event catalogue and event log, which knock_apply fills
-- ---------------------------------------------------------------------------

-- KEYS: catalogue, catalogue_info
-- ARGV: library version, limit, cursor
-- Answers a page, last seen first, paged by place.

local function catalogue_list(keys, args)
    local offset = page_offset(args[3])

    if not offset then
        return bad_cursor(args[3])
    end

    local limit = page_length(args[2])
    local evicted = redis.call('HGET', keys[2], 'evicted') or '0'
    local found = redis.call('ZREVRANGE', keys[1], offset, offset + limit,
                             'WITHSCORES')
    local items, bytes, cursor = {}, 0, 'null'

    for i = 1, #found, 2 do
        if #items == limit or bytes >= PAGE_BYTES then
            cursor = '"' .. ms_string(offset + #items) .. '"'
            break
        end

        local event = found[i]
        local info = redis.call('HMGET', keys[2], 'c' .. event, 'f' .. event,
                                's' .. event)
        local item = '{"event":' .. quote(event)
            .. ',"count":' .. (info[1] or '0')
            .. ',"first_seen_at":' .. json_time(info[2])
            .. ',"last_seen_at":' .. json_time(found[i + 1])
            .. ',"sample":' .. (info[3] or 'null') .. '}'

        items[#items + 1] = item
        bytes = bytes + #item
    end

    return list(items, cursor, '"evicted":' .. evicted)
end


-- KEYS: catalogue, catalogue_info
-- ARGV: library version, event key
-- Answers 204; 404.

local function catalogue_delete(keys, args)
    local event = args[2]

    if redis.call('ZREM', keys[1], event) == 0 then
        return not_found('event', event)
    end

    redis.call('HDEL', keys[2], 'c' .. event, 'f' .. event, 's' .. event)

    return { 204, '', '' }
end


-- KEYS: log
-- ARGV: library version, limit, cursor (the id of an entry, those before it
--       are meant), the statuses that are asked for, 'pi' or such, or ''
-- Gives { cursor or '', then id, status, verdicts and document of each entry }
-- newest first.  Of a filtered log a page may have fewer entries than there
-- are, or none, and still a cursor.

local function log_page(keys, args)
    local limit, cursor, statuses = page_length(args[2]), args[3], args[4]
    local page, n, scanned, bytes = { '' }, 0, 0, 0

    if cursor ~= '' and not string.find(cursor, '^%d+%-%d+$') then
        return bad_cursor(cursor)
    end

    while true do
        local found = redis.call('XREVRANGE', keys[1],
                                 cursor == '' and '+' or '(' .. cursor, '-',
                                 'COUNT', LOG_STEP)

        for _, entry in ipairs(found) do
            local id, fields = entry[1], {}

            if n == limit or scanned >= LOG_SCAN or bytes >= PAGE_BYTES then
                page[1] = cursor
                return page
            end

            for i = 1, #entry[2], 2 do
                fields[entry[2][i]] = entry[2][i + 1]
            end

            local s, v, d = fields.s or '', fields.v or '', fields.d or ''

            if statuses == '' or string.find(statuses, s, 1, true) then
                page[#page + 1] = id
                page[#page + 1] = s
                page[#page + 1] = v
                page[#page + 1] = d
                n = n + 1
                bytes = bytes + #v + #d
            end

            scanned = scanned + 1
            cursor = id
        end

        if #found < LOG_STEP then
            return page
        end
    end
end


-- ---------------------------------------------------------------------------
-- workflows and actions: drafts
--
-- A draft is a field TYPE/KEY of one hash, in the first environment: the
-- document, or '' for a deletion.  It is there only as long as it is not
-- committed and is another one than what is live.
-- ---------------------------------------------------------------------------

local TYPES = { workflow = true, action = true }


local function unknown_type(type)
    return redis.error_reply('ERR unknown resource type "' .. type
                             .. '": use workflow or action')
end


-- What a resource will be, or nil; what is live, or nil; whether the two are
-- different.

local function draft_read(drafts, live, type, key)
    local draft = redis.call('HGET', drafts, type .. '/' .. key)
    local current = redis.call('HGET', live, key) or nil

    if not draft then
        return current, current, false
    end

    if draft == '' then
        return nil, current, true
    end

    return draft, current, true
end


local function draft_answer(status, text, uncommitted)
    return { status, with(text, '"uncommitted":' .. bool(uncommitted)),
             redis.sha1hex(text) }
end


-- KEYS: drafts, what is live of the type
-- ARGV: library version, type, limit, cursor
-- Answers a page in order of key; `deletions` are the keys of all that will
-- be taken out by the next commit, which are none of the items.

local function draft_list(keys, args)
    local drafts, live, type = keys[1], keys[2], args[2]
    local all = redis.call('HKEYS', live)
    local known, deletions = {}, {}

    if not TYPES[type] then
        return unknown_type(type)
    end

    for _, key in ipairs(all) do
        known[key] = true
    end

    for _, field in ipairs(redis.call('HKEYS', drafts)) do
        local key = string.match(field, '^' .. type .. '/(.*)$')

        if key and redis.call('HSTRLEN', drafts, field) == 0 then
            deletions[#deletions + 1] = key
        elseif key and not known[key] then
            all[#all + 1] = key
        end
    end

    for i, key in ipairs(sort(deletions)) do
        deletions[i] = quote(key)
    end

    return page_of_keys(sort(all), args[3], args[4], function(key)
        local text, _, uncommitted = draft_read(drafts, live, type, key)

        return text and with(text, '"uncommitted":' .. bool(uncommitted))
    end, '"deletions":[' .. table.concat(deletions, ',') .. ']')
end


-- KEYS: drafts, what is live of the type
-- ARGV: library version, type, key
-- Answers 200; 404.

local function draft_get(keys, args)
    if not TYPES[args[2]] then
        return unknown_type(args[2])
    end

    local text, _, uncommitted = draft_read(keys[1], keys[2], args[2], args[3])

    if not text then
        return not_found(args[2], args[3])
    end

    return draft_answer(200, text, uncommitted)
end


-- KEYS: drafts, what is live of the type, endpoints
-- ARGV: library version, type, key, document, source or '', if_match
-- Answers 200 or, if there was none, 201; 412; 422 unknown_source, invalid_key.

local function draft_put(keys, args)
    local type, key, doc, source = args[2], args[3], args[4], args[5]

    if not TYPES[type] then
        return unknown_type(type)
    end

    if not is_object(doc) then
        return not_an_object(type)
    end

    if not valid_key(key) then
        return failed(422, 'invalid_key',
                      'a key has 1 to 64 of A-Z, a-z, 0-9, _ and -')
    end

    local text, current = draft_read(keys[1], keys[2], type, key)

    if not matches(args[6], text) then
        return stale(type, key)
    end

    if source ~= ''
       and redis.call('HEXISTS', keys[3], source .. '/token') == 0
    then
        return failed(422, 'unknown_source', 'there is no source "' .. source
                      .. '": create it first')
    end

    if doc == current then
        redis.call('HDEL', keys[1], type .. '/' .. key)
    else
        redis.call('HSET', keys[1], type .. '/' .. key, doc)
    end

    return draft_answer(text and 200 or 201, doc, doc ~= current)
end


-- KEYS: drafts, what is live of the type
-- ARGV: library version, type, key, if_match
-- Answers 204; 404; 412.

local function draft_delete(keys, args)
    local type, key = args[2], args[3]

    if not TYPES[type] then
        return unknown_type(type)
    end

    local text, current = draft_read(keys[1], keys[2], type, key)

    if not text then
        return not_found(type, key)
    end

    if not matches(args[4], text) then
        return stale(type, key)
    end

    if current then
        redis.call('HSET', keys[1], type .. '/' .. key, '')
    else
        redis.call('HDEL', keys[1], type .. '/' .. key)
    end

    return { 204, '', '' }
end


-- ---------------------------------------------------------------------------
-- workflows and actions: what is live in an environment, under one version
-- ---------------------------------------------------------------------------

-- KEYS: version, endpoints, workflows, actions, toggles
-- ARGV: library version, the version that the caller knows ('' for none)
-- Gives { version } if that is still the one, else
-- { version, endpoint fields, live workflow keys, live actions, toggles }.

local function live(keys, args)
    local version = redis.call('GET', keys[1]) or '0'

    if version == args[2] then
        return { version }
    end

    return {
        version,
        redis.call('HGETALL', keys[2]),
        redis.call('HKEYS', keys[3]),
        redis.call('HGETALL', keys[4]),
        redis.call('HGETALL', keys[5])
    }
end


-- KEYS: version, workflows, actions
-- ARGV: library version, then type ('workflow', 'action'), key and document in
--       turn; an empty document takes the resource out
-- Makes documents live, without a commit.

local function live_set(keys, args)
    local hash = { workflow = keys[2], action = keys[3] }

    for i = 2, #args, 3 do
        if not hash[args[i]] then
            return unknown_type(args[i])
        end
    end

    for i = 2, #args, 3 do
        if args[i + 2] == '' then
            redis.call('HDEL', hash[args[i]], args[i + 1])
        else
            redis.call('HSET', hash[args[i]], args[i + 1], args[i + 2])
        end
    end

    bump_version(keys[1])

    return redis.status_reply('OK')
end


-- KEYS: workflows, actions
-- ARGV: library version
-- Gives { keys and documents of the workflows, those of the actions }.

local function live_docs(keys)
    return { redis.call('HGETALL', keys[1]), redis.call('HGETALL', keys[2]) }
end


-- the workflow that an action's document names

local function workflow_of(action)
    local ok, doc = pcall(cjson.decode, action)

    if ok and type(doc) == 'table' and type(doc.workflow) == 'string' then
        return doc.workflow
    end
end


-- the set of the workflows that live actions name

local function workflows_named(actions)
    local named = {}

    for _, doc in ipairs(redis.call('HVALS', actions)) do
        local workflow = workflow_of(doc)

        if workflow then
            named[workflow] = true
        end
    end

    return named
end


local function is_active(toggles, type, key)
    return redis.call('HGET', toggles, type .. '/' .. key) ~= '0'
end


-- A resource as it is in an environment.  An action says whether its workflow
-- is there, a workflow whether an action for it is.

local function env_text(env, type, key, doc)
    local members = '"live":true,"active":'
                    .. bool(is_active(env.toggles, type, key))

    if type == 'workflow' then
        env.named = env.named or workflows_named(env.actions)

        return with(doc, members .. ',"action_live":' .. bool(env.named[key]))
    end

    local workflow = workflow_of(doc)
    local there = workflow
                  and redis.call('HEXISTS', env.workflows, workflow) == 1

    return with(doc, members .. ',"workflow_live":' .. bool(there)
                .. ',"workflow_active":'
                .. bool(there and is_active(env.toggles, 'workflow',
                                            workflow)))
end


-- KEYS: workflows, actions, toggles
-- ARGV: library version, type, limit, cursor
-- Answers a page of what is live, in order of key.

local function env_list(keys, args)
    local env = { workflows = keys[1], actions = keys[2], toggles = keys[3] }
    local type = args[2]

    if not TYPES[type] then
        return unknown_type(type)
    end

    local hash = type == 'workflow' and keys[1] or keys[2]
    local all = sort(redis.call('HKEYS', hash))

    return page_of_keys(all, args[3], args[4], function(key)
        return env_text(env, type, key, redis.call('HGET', hash, key))
    end)
end


-- KEYS: workflows, actions, toggles
-- ARGV: library version, type, key
-- Answers 200; 404.

local function env_get(keys, args)
    local env = { workflows = keys[1], actions = keys[2], toggles = keys[3] }
    local type, key = args[2], args[3]

    if not TYPES[type] then
        return unknown_type(type)
    end

    local doc = redis.call('HGET', type == 'workflow' and keys[1] or keys[2],
                           key)

    if not doc then
        return not_found('live ' .. type, key)
    end

    return { 200, env_text(env, type, key, doc), '' }
end


-- KEYS: version, toggles
-- ARGV: library version, type, key, '1' or '0'
-- Makes a workflow or an action active or inactive.

local function toggle(keys, args)
    redis.call('HSET', keys[2], args[2] .. '/' .. args[3], args[4])
    bump_version(keys[1])

    return redis.status_reply('OK')
end


-- KEYS: version, what is live of the type, toggles, workflows, actions
-- ARGV: library version, type, key, '1' or '0', environment
-- Answers 200, as knock_env_get does; 404 not_live.

local function toggle_set(keys, args)
    local type, key, value, environment = args[2], args[3], args[4], args[5]

    if not TYPES[type] then
        return unknown_type(type)
    end

    if value ~= '0' and value ~= '1' then
        return redis.error_reply('ERR use 0 or 1')
    end

    if redis.call('HEXISTS', keys[2], key) == 0 then
        return failed(404, 'not_live', 'the ' .. type .. ' "' .. key
                      .. '" is not live in "' .. environment
                      .. '": commit or publish it first')
    end

    toggle({ keys[1], keys[3] }, args)

    return env_get({ keys[4], keys[5], keys[3] }, args)
end


-- ---------------------------------------------------------------------------
-- commits: each changes one resource of one environment
--
-- The hash of commits has for each a field ID, the JSON; ID/environment;
-- ID/resource, TYPE/KEY; ID/before and ID/after, the documents, where there
-- are any.  The sorted set of their ids has the time in microseconds, made
-- unique.
-- ---------------------------------------------------------------------------

-- The id of the i-th commit of a call that was given these ids.

local function commit_id(ids, i)
    if i <= #ids then
        return ids[i]
    end

    return ids[#ids] .. '-' .. i
end


local function commit_score(commit_ids)
    local newest = redis.call('ZREVRANGE', commit_ids, 0, 0, 'WITHSCORES')
    local now = redis.call('TIME')

    return math.max(tonumber(now[1]) * 1000000 + tonumber(now[2]),
                    (tonumber(newest[2]) or 0) + 1)
end


local function by_type_and_key(a, b)
    if a.type ~= b.type then
        return a.type == 'workflow'
    end

    return precedes(a.key, b.key)
end


-- Says of a changed resource whether its other half is live.

local function commit_item(env, change)
    if change.type == 'workflow' then
        env.named = env.named or workflows_named(env.actions)

        return with(change.json,
                    '"action_live":' .. bool(env.named[change.key]))
    end

    local workflow = workflow_of(change.after or change.before)

    return with(change.json, '"workflow_live":'
                .. bool(workflow and redis.call('HEXISTS', env.workflows,
                                                workflow) == 1))
end


-- Makes the changes { type, key, before, after } live, workflows before
-- actions, each as a commit, and answers them.  `env` has the keys version,
-- workflows, actions, commits, commit_ids, and what the commits are to say:
-- environment, message (JSON), author (JSON), created_at and ids.

local function commit_changes(env, changes)
    local score = commit_score(env.commit_ids)
    local items = {}

    table.sort(changes, by_type_and_key)

    for i, change in ipairs(changes) do
        local id = commit_id(env.ids, i)
        local hash = change.type == 'workflow' and env.workflows or env.actions

        change.json = '{"id":' .. quote(id)
            .. ',"environment":' .. quote(env.environment)
            .. ',"message":' .. env.message
            .. ',"author":' .. env.author
            .. ',"created_at":' .. quote(env.created_at)
            .. ',"resource":{"type":"' .. change.type
            .. '","key":' .. quote(change.key) .. '}'
            .. ',"before":' .. (change.before or 'null')
            .. ',"after":' .. (change.after or 'null') .. '}'

        if change.after then
            redis.call('HSET', hash, change.key, change.after)
            redis.call('HSET', env.commits, id .. '/after', change.after)
        else
            redis.call('HDEL', hash, change.key)
        end

        if change.before then
            redis.call('HSET', env.commits, id .. '/before', change.before)
        end

        redis.call('HSET', env.commits, id, change.json,
                   id .. '/environment', env.environment,
                   id .. '/resource', change.type .. '/' .. change.key)
        redis.call('ZADD', env.commit_ids, ms_string(score + i - 1), id)
    end

    bump_version(env.version)

    for i, change in ipairs(changes) do
        items[i] = commit_item(env, change)
    end

    return { 200, '{"items":[' .. table.concat(items, ',') .. ']}', '' }
end


-- KEYS: version, workflows, actions, drafts, commits, commit_ids
-- ARGV: library version, environment, message and author (JSON), time, type
--       ('' for all drafts) and key, then ids for the commits
-- Answers 200; 409 nothing_to_commit.

local function commit(keys, args)
    local env = {
        version = keys[1], workflows = keys[2], actions = keys[3],
        commits = keys[5], commit_ids = keys[6],
        environment = args[2], message = args[3], author = args[4],
        created_at = args[5], ids = { unpack(args, 8) }
    }
    local hash = { workflow = keys[2], action = keys[3] }
    local changes, done = {}, {}

    if args[6] ~= '' and not TYPES[args[6]] then
        return unknown_type(args[6])
    end

    for _, field in ipairs(redis.call('HKEYS', keys[4])) do
        local type, key = string.match(field, '^(%a+)/(.*)$')

        if TYPES[type]
           and (args[6] == '' or (type == args[6] and key == args[7]))
        then
            local after, before = draft_read(keys[4], hash[type], type, key)

            done[#done + 1] = field

            if after ~= before then
                changes[#changes + 1] = {
                    type = type, key = key, before = before, after = after
                }
            end
        end
    end

    if #changes == 0 then
        return failed(409, 'nothing_to_commit', args[6] == ''
                      and 'there are no uncommitted changes'
                      or 'the ' .. args[6] .. ' "' .. args[7]
                         .. '" has no uncommitted change')
    end

    call_chunked('HDEL', keys[4], done)

    return commit_changes(env, changes)
end


-- KEYS: version, workflows, actions, commits, commit_ids
-- ARGV: library version, environment, message and author (JSON), time, id,
--       type ('' for all) and key, then type, key and document in turn of
--       what is live in the environment before this one
-- Makes this environment's the same, wholly or in the one resource.
-- Answers 200; 409 nothing_to_publish.

local function publish(keys, args)
    local env = {
        version = keys[1], workflows = keys[2], actions = keys[3],
        commits = keys[4], commit_ids = keys[5],
        environment = args[2], message = args[3], author = args[4],
        created_at = args[5], ids = { args[6] }
    }
    local hash = { workflow = keys[2], action = keys[3] }
    local wanted = { workflow = {}, action = {} }
    local one, changes = args[7], {}

    if one ~= '' and not TYPES[one] then
        return unknown_type(one)
    end

    for i = 9, #args, 3 do
        if not TYPES[args[i]] then
            return unknown_type(args[i])
        end

        if not args[i + 2] then
            return redis.error_reply('ERR a resource has no document')
        end

        wanted[args[i]][args[i + 1]] = args[i + 2]
    end

    local function compare(type, key)
        local before = redis.call('HGET', hash[type], key) or nil
        local after = wanted[type][key]

        if after ~= before then
            changes[#changes + 1] = {
                type = type, key = key, before = before, after = after
            }
        end
    end

    if one ~= '' then
        compare(one, args[8])
    else
        for type, docs in pairs(wanted) do
            for key in pairs(docs) do
                compare(type, key)
            end

            for _, key in ipairs(redis.call('HKEYS', hash[type])) do
                if not docs[key] then
                    compare(type, key)
                end
            end
        end
    end

    if #changes == 0 then
        return failed(409, 'nothing_to_publish',
                      one == '' and '"' .. env.environment
                      .. '" has all that is live in the environment before it'
                      or 'the ' .. one .. ' "' .. args[8]
                         .. '" is the same in "' .. env.environment
                         .. '" as in the environment before it')
    end

    return commit_changes(env, changes)
end


-- the JSON of a commit, or nil

local function commit_read(commits, id)
    return not string.find(id, '/', 1, true)
           and redis.call('HGET', commits, id) or nil
end


-- KEYS: commits
-- ARGV: library version, id
-- Answers 200; 404.

local function commit_get(keys, args)
    local json = commit_read(keys[1], args[2])

    if not json then
        return not_found('commit', args[2])
    end

    return { 200, json, '' }
end


-- KEYS: commits, commit_ids
-- ARGV: library version, limit, cursor (a score, those below it are meant)
-- Gives score and JSON in turn, newest first.  A page is not bounded by its
-- bytes: one that is short is the last, and is merged with other environments'.

local function commit_page(keys, args)
    local cursor = args[3]
    local page = {}

    if cursor ~= '' and not string.find(cursor, '^%d+$') then
        return bad_cursor(cursor)
    end

    local found = redis.call('ZREVRANGEBYSCORE', keys[2],
                             cursor == '' and '+inf' or '(' .. cursor, '-inf',
                             'WITHSCORES', 'LIMIT', 0, page_length(args[2]))

    for i = 1, #found, 2 do
        local json = redis.call('HGET', keys[1], found[i])

        if json then
            page[#page + 1] = ms_string(tonumber(found[i + 1]))
            page[#page + 1] = json
        end
    end

    return page
end


-- KEYS: version, workflows, actions, drafts, commits, commit_ids
-- ARGV: library version, id, id for the new commit, message and author
--       (JSON), time
-- Makes live again what was before a commit.  A draft that is the same is
-- none any more.  Answers 200; 404; 409 changed_since.

local function commit_revert(keys, args)
    local id = args[2]
    local env = {
        version = keys[1], workflows = keys[2], actions = keys[3],
        commits = keys[5], commit_ids = keys[6],
        ids = { args[3] }, message = args[4], author = args[5],
        created_at = args[6]
    }

    if not commit_read(keys[5], id) then
        return not_found('commit', id)
    end

    local stored = redis.call('HMGET', keys[5], id .. '/resource',
                              id .. '/before', id .. '/after',
                              id .. '/environment')
    local field = stored[1]
    local type, key = string.match(field, '^(%a+)/(.*)$')
    local hash = type == 'workflow' and keys[2] or keys[3]
    local current = redis.call('HGET', hash, key)

    if current ~= stored[3] then
        return failed(409, 'changed_since', 'the ' .. type .. ' "' .. key
                      .. '" has been changed by a later commit: revert that'
                      .. ' one first')
    end

    if redis.call('HGET', keys[4], field) == (stored[2] or '') then
        redis.call('HDEL', keys[4], field)
    end

    env.environment = stored[4]

    return commit_changes(env, { {
        type = type, key = key,
        before = current or nil, after = stored[2] or nil
    } })
end


-- ---------------------------------------------------------------------------
-- users
-- ---------------------------------------------------------------------------

-- the JSON of a user or object, its id in front, or nil

local function user_text(key)
    local all = redis.call('HGETALL', key)
    local names, values, members = {}, {}, {}

    if #all == 0 then
        return nil
    end

    for i = 1, #all, 2 do
        if all[i] == 'id' then
            members[1] = '"id":' .. all[i + 1]
        else
            names[#names + 1] = all[i]
            values[all[i]] = all[i + 1]
        end
    end

    for _, name in ipairs(sort(names)) do
        members[#members + 1] = quote(name) .. ':' .. values[name]
    end

    return '{' .. table.concat(members, ',') .. '}'
end


-- what a key names, for a message

local function user_id(key)
    return string.match(key, '}:user:(.*)$') or key
end


-- KEYS: user
-- ARGV: library version
-- Answers 200; 404.

local function user_get(keys)
    local text = user_text(keys[1])

    if not text then
        return not_found('user', user_id(keys[1]))
    end

    return { 200, text, redis.sha1hex(text) }
end


-- KEYS: users
-- ARGV: library version
-- Gives the JSON of each that there is.

local function user_list(keys)
    local texts = {}

    for _, key in ipairs(keys) do
        texts[#texts + 1] = user_text(key)
    end

    return texts
end


-- KEYS: user, large
-- ARGV: library version, if_match
-- Answers 204; 404; 412.

local function user_delete(keys, args)
    local text = user_text(keys[1])

    if not text then
        return not_found('user', user_id(keys[1]))
    end

    if not matches(args[2], text) then
        return stale('user', user_id(keys[1]))
    end

    redis.call('SREM', keys[2], keys[1])
    redis.call('DEL', keys[1])

    return { 204, '', '' }
end


-- ---------------------------------------------------------------------------
-- runs
-- ---------------------------------------------------------------------------

-- the time a run was enqueued at, as JSON: near its end, where runs have it

local function enqueued_at(run)
    local time = string.match(string.sub(run, -64),
                              '"enqueued_at":("[%d:TZ.-]+"),"test":%a+}$')

    if time then
        return time
    end

    local ok, doc = pcall(cjson.decode, run)

    if ok and type(doc) == 'table' and type(doc.enqueued_at) == 'string' then
        return quote(doc.enqueued_at)
    end

    return 'null'
end


-- KEYS: runs
-- ARGV: library version, how many are wanted, how many come before these
-- Gives the length of the list, when the oldest run was enqueued, as JSON, and
-- then, newest first, of each run when it was enqueued, as JSON, and the run.
-- More than PAGE_BYTES end the page.

local function run_page(keys, args)
    local place = math.floor(tonumber(args[3]) or 0)
    local last = place + page_length(args[2]) - 1
    local length = redis.call('LLEN', keys[1])
    local oldest = redis.call('LINDEX', keys[1], 0)
    local reply = { length, oldest and enqueued_at(oldest) or 'null' }
    local bytes = 0

    while place <= last and place < length and bytes < PAGE_BYTES do
        local run = redis.call('LINDEX', keys[1], -1 - place)

        reply[#reply + 1] = enqueued_at(run)
        reply[#reply + 1] = run
        bytes = bytes + #run
        place = place + 1
    end

    return reply
end


-- KEYS: workflows
-- ARGV: library version, workflow, environment
-- Answers 200 and no body; 404 not_live.

local function workflow_live(keys, args)
    local workflow, environment = args[2], args[3]

    if redis.call('HEXISTS', keys[1], workflow) == 0 then
        return failed(404, 'not_live', 'the workflow "' .. workflow
                      .. '" is not live in "' .. environment
                      .. '": commit or publish it first')
    end

    return { 200, '', '' }
end


-- KEYS: runs, then the recipients
-- ARGV: library version, then the run of each
-- Gives { 200, verdicts }, for each recipient r, it has a run, or n, there is
-- none.

local function test_run(keys, args)
    local verdicts, runs = {}, {}

    if #args ~= #keys then
        return redis.error_reply('ERR use a run for each recipient')
    end

    for i = 2, #keys do
        local there = redis.call('EXISTS', keys[i]) == 1

        verdicts[#verdicts + 1] = there and 'r' or 'n'
        runs[#runs + 1] = there and args[i] or nil
    end

    call_chunked('RPUSH', keys[1], runs)

    return { 200, table.concat(verdicts), '' }
end


-- ---------------------------------------------------------------------------
-- apply: the events of one or more requests
--
-- KEYS: version, runs, seen:0, seen:1, large, then catalogue, log and entity
--       keys, which the numbers name by their index; of a shard or, with the
--       events as a whole, of the environment, which are one if there is but
--       one shard
-- ARGV: library version, configuration version ("+V X" at a shard: it follows
--       the environment to V, from X in any case; "=V": whatever it is, these
--       events have been applied under V elsewhere), dedupe window in ms, log
--       length, catalogue length, token or '', plan, numbers, then the
--       columns, each the strings of one kind in the order of the events:
--
--   marks    '', then the mark of each event that has one
--   packs    for each op its fields, name and value in turn, as strings in
--            MessagePack one behind the other; of an op with more than 1000
--            fields there are several.  Of an object that another op of the
--            unit overwrites, or that is too large, the value is the length
--            of its text
--   runs     the documents of the runs, unless there is a token
--   logs     of each event that is logged its status and verdicts as they
--            are to be expected (or, of an event without actions, as shards
--            have told them), and its document
--   counts   of each event key of a catalogue the key, and a sample or ''
--   texts    of each unit that says so its verdicts and bases, or its ETag
--
-- With a token the runs stand at the tail of their list already, with the token
-- behind them: RPUSH put them there, the command before this one in the same
-- transaction, as bytes that come through Lua are dear.  A script behind this
-- one takes all of them off if the token is still there then, so that a call
-- that fails, or cannot be made, leaves nothing behind.
--
-- What the call does stands in it twice.  The plan is short, binary (numbers
-- of 32 bits, big-endian, unless something else is said) and enough for the
-- usual call, in which every event is new and every recipient known:
--
--   1 if the call is a plain one, the numbers of marks, packs, runs, logs,
--   counts, recipients that must exist, and ops; of each count its catalogue
--   key, its events, and which event of the call (from 1; 0: none) the sample
--   is of; and of a plain call, in 16 bits each, the keys of those who must
--   exist; the entity's key of each op; the key of each log
--
-- The numbers are decimal, with spaces between them, and describe each event,
-- for the calls that are not plain or turn out not to be:
--
--   unit:    events, 1 if it must be planned (2: and its values be folded in
--            any case) and 4 more if the verdicts of its actions are to be
--            told, 1 if it brings verdicts and bases, bases, guard key or 0,
--            the events
--   event:   1 if it has a mark, status, count or 0, log key or 0, ops, the
--            ops, actions, the actions
--   op:      entity key, kind, bytes that the unit brings to the entity,
--            plain fields, object fields
--   action:  actor's key or 0, recipients, the entity key of each
--
-- A unit is what one request holds: it is applied whole or not at all.  Its
-- guard is a user that must be as the ETag says (as if_match of the other
-- functions), or the unit is answered with { 'stale_entity' }.
-- Status: 0 processed, 1 ignored, 2 failed, 3 too large at a shard, as the
-- worker sees the event; in answers and logs these are p, i, f and l, and it
-- may turn out to be a d(uplicate) or too l(arge).  Kind of an op: 0, the
-- event stands or falls with it; 1, only the recipient does.
--
-- Gives { 'stale', version } if the configuration has changed; { 'plain' } if
-- all went as the caller expects; else for each unit { 'ok', statuses, runs },
-- with the verdicts as the log has them, ' ' between events, if they are to be
-- told, and behind all 'changed' if they were applied under "=V" and the
-- configuration has another version; or, where
-- an object is to be merged into a stored one, { 'need', verdicts, bases }:
-- nothing of the unit is applied then, and the worker sends it again with the
-- merged values, the verdicts (for each op y, it applies; l, its entity would
-- be too large; n, its event does not apply) and the bases that the merge was
-- made from.
-- ---------------------------------------------------------------------------

local STATUS = { [0] = 'p', 'i', 'f', 'l' }

local PLAN_HEAD = '>I4I4I4I4I4I4I4I4'
local PLAN_HEAD_BYTES = 32
local PLAN_COUNT = '>I4I4I4'
local PLAN_COUNT_BYTES = 12


-- what HMGET answers for from..to of a list of fields, in one list

local function hmget(key, fields, from, to)
    if to - from < CHUNK then
        return redis.call('HMGET', key, unpack(fields, from, to))
    end

    local all = {}

    for first = from, to, CHUNK do
        local part = redis.call('HMGET', key,
                                unpack(fields, first,
                                       math.min(first + CHUNK - 1, to)))

        for i = 1, #part do
            all[#all + 1] = part[i]
        end
    end

    return all
end


-- The marks of a window stand in two hashes that take turns, mark -> time;
-- the field '' holds the time from which on the hash has nothing to say.
-- Gives the hash to write to, and the marks that are repeats, or nil if none
-- is.

local function seen_open(ctx, window)
    local args, from, to = ctx.args, ctx.marks, ctx.packs - 1
    local now = ctx.now
    local period = math.floor(now / window)
    local seen = {
        key = ctx.keys[K_SEEN + period % 2],
        expires = (period + 2) * window,
        latest = now + 2 * window
    }
    local current = hmget(seen.key, args, from, to)
    local other = ctx.keys[K_SEEN + (period + 1) % 2]
    local previous = {}

    -- most of the time there is neither, and one question is enough

    ctx.any_large = redis.call('EXISTS', other, ctx.keys[K_LARGE]) > 0

    if ctx.any_large then
        previous = hmget(other, args, from, to)
        ctx.any_large = redis.call('EXISTS', ctx.keys[K_LARGE]) == 1
    end

    local repeated

    for i = 2, to - from + 1 do
        local a, b = current[i], previous[i]

        if a or b then
            a = tonumber(a or nil)
            b = tonumber(b or nil)

            if (a and now - a < window) or (b and now - b < window) then
                repeated = repeated or {}
                repeated[args[from + i - 1]] = true
            end
        end
    end

    seen.current_expires = tonumber(current[1] or nil)

    return seen, repeated
end


-- Remembers the marks from..to of a list.  An expiry further away than two
-- windows is of a clock that went back since.

local function seen_close(seen, now, marks, from, to)
    if to < from then
        return
    end

    local add, n, time = {}, 0, ms_string(now)

    for i = from, to do
        add[n + 1] = marks[i]
        add[n + 2] = time
        n = n + 2
    end

    if seen.current_expires and seen.current_expires <= now then
        redis.call('DEL', seen.key)
        seen.current_expires = nil
    end

    call_chunked('HSET', seen.key, add)

    if not seen.current_expires or seen.current_expires < seen.expires
       or seen.current_expires > seen.latest
    then
        redis.call('HSET', seen.key, '', ms_string(seen.expires))
        redis.call('PEXPIREAT', seen.key, ms_string(seen.expires))
    end
end


local function count_bytes(ctx, key)
    local all, total = redis.call('HGETALL', key), 0

    for i = 1, #all do
        total = total + #all[i]
    end

    ctx.strings = ctx.strings + #all

    return total
end


-- What an entity takes, and, as they are asked for, its fields.

local function entity_sizes(ctx, key)
    local sizes = { key = key, total = count_bytes(ctx, key), fields = {} }

    if ctx.strings > STRINGS then
        collectgarbage()
        ctx.strings = 0
    end

    return sizes
end


local function field_size(sizes, name)
    local n = sizes.fields[name]

    if not n then
        n = redis.call('HSTRLEN', sizes.key, name)
        n = n > 0 and n + #name or 0
        sizes.fields[name] = n
    end

    return n
end


-- Lays an op's fields on the sizes; false (and sizes unchanged) if the entity
-- would be too large.

local function sizes_add(sizes, fields, at, nplain, nobject)
    local total = sizes.total
    local new = {}

    for i = at, at + 2 * (nplain + nobject) - 1, 2 do
        local name, value = fields[i], fields[i + 1]
        local n = #name + #value

        if i >= at + 2 * nplain and string.byte(value) ~= 123 then
            n = #name + tonumber(value)
        end

        total = total + n - (new[name] or field_size(sizes, name))
        new[name] = n
    end

    if total > MAX_BYTES then
        return false
    end

    for name, n in pairs(new) do
        sizes.fields[name] = n
    end

    sizes.total = total

    return true
end


-- `added` fields have come to an entity: it may be one of the large ones now

local function note_size(ctx, key, added, size)
    if (size and size.total > LARGE_BYTES)
       or (added > 0 and redis.call('HLEN', key) > LARGE_FIELDS)
    then
        redis.call('SADD', ctx.keys[K_LARGE], key)
        ctx.large[key] = true
        ctx.large.any = true
    end
end


-- A catalogue is two keys: a sorted set, event key -> time last seen, and a
-- hash with fields c<event key> count, f<event key> first seen, s<event key>
-- sample, and `evicted`.  Over its length the one unseen for longest goes.

local function catalogue_trim(ctx, set, info)
    local over = redis.call('ZCARD', set) - ctx.catalogue_length

    if over <= 0 then
        return
    end

    local gone = redis.call('ZPOPMIN', set, over)

    for i = 1, #gone, 2 do
        redis.call('HDEL', info, 'c' .. gone[i], 'f' .. gone[i],
                   's' .. gone[i])
    end

    redis.call('HINCRBY', info, 'evicted', over)
end


-- `count(i, of)` gives how many events of the i-th count are to be counted,
-- and whether the one that its sample is of is among them; nil: all are.

local function catalogue_close(ctx, count)
    local now = ms_string(ctx.now)

    for i = 1, ctx.ncounts do
        local index, n, of = struct.unpack(PLAN_COUNT, ctx.plan,
                                           PLAN_HEAD_BYTES + 1
                                           + (i - 1) * PLAN_COUNT_BYTES)
        local event = ctx.args[ctx.counts + 2 * i - 2]
        local sampled = of > 0

        if count then
            n, sampled = count(i, of)
        end

        if n > 0 then
            local set, info = ctx.keys[index], ctx.keys[index + 1]

            if redis.call('ZADD', set, now, event) == 1 then
                redis.call('HSET', info, 'f' .. event, now)
                catalogue_trim(ctx, set, info)
            end

            redis.call('HINCRBY', info, 'c' .. event, n)

            if sampled then
                redis.call('HSET', info, 's' .. event,
                           ctx.args[ctx.counts + 2 * i - 1])
            end
        end
    end
end


-- ---------------------------------------------------------------------------
-- apply: a plain call, by its plan alone
-- ---------------------------------------------------------------------------

-- the i-th key of a list that begins at a place in the plan

local function plan_key(ctx, at, i)
    local high, low = string.byte(ctx.plan, at + 2 * i - 2, at + 2 * i - 1)

    return ctx.keys[high * 256 + low]
end


local function log_plain(ctx, at)
    for i = 1, ctx.nlogs do
        local expected = ctx.args[ctx.logs + 2 * i - 2]

        redis.call('XADD', plan_key(ctx, at, i), 'MAXLEN', '~',
                   ctx.log_length, '*', 's', string.sub(expected, 1, 1),
                   'v', string.sub(expected, 2),
                   'd', ctx.args[ctx.logs + 2 * i - 1])
    end
end


-- Applies the call and gives true; or writes nothing and gives false if it
-- must be looked at event by event: a recipient is not there, or an entity
-- may become too large.

local function apply_plain(ctx, seen)
    local keys = ctx.keys
    local must = PLAN_HEAD_BYTES + ctx.ncounts * PLAN_COUNT_BYTES + 1
    local ops = must + 2 * ctx.nmust
    local there, users = 0, {}

    for i = 1, ctx.nmust do
        users[i] = plan_key(ctx, must, i)
    end

    for first = 1, ctx.nmust, CHUNK do
        there = there + redis.call('EXISTS',
                                   unpack(users, first,
                                          math.min(first + CHUNK - 1,
                                                   ctx.nmust)))
    end

    if there < ctx.nmust then
        return false
    end

    if ctx.any_large then
        for i = 1, ctx.nops do
            if redis.call('SISMEMBER', keys[K_LARGE],
                          plan_key(ctx, ops, i)) == 1
            then
                return false
            end
        end
    end

    for i = 1, ctx.nops do
        local key = plan_key(ctx, ops, i)

        note_size(ctx, key,
                  redis.call('HSET', key,
                             cmsgpack.unpack(ctx.args[ctx.packs + i - 1])))
    end

    if ctx.pushed then
        redis.call('RPOP', keys[K_RUNS])
    else
        call_chunked('RPUSH', keys[K_RUNS], ctx.args, ctx.runs, ctx.logs - 1)
    end

    seen_close(seen, ctx.now, ctx.args, ctx.marks + 1, ctx.packs - 1)
    catalogue_close(ctx)
    log_plain(ctx, ops + 2 * ctx.nops)

    return true
end


-- ---------------------------------------------------------------------------
-- apply: any call, event by event
-- ---------------------------------------------------------------------------

-- The fields of all ops, name and value in turn.

local function unpack_fields(ctx)
    local fields, n = {}, 0

    for i = ctx.packs, ctx.packs + ctx.npacks - 1 do
        local strings = { cmsgpack.unpack(ctx.args[i]) }

        for j = 1, #strings do
            fields[n + j] = strings[j]
        end

        n = n + #strings
    end

    return fields
end


-- Where a walk stands: in the numbers, and in the columns.

local function cursor_at(c)
    return { at = c.at, mark = c.mark, field = c.field, run = c.run,
             log = c.log, text = c.text }
end


-- Reads a unit's head.

local function read_unit(ctx, c)
    local numbers = ctx.numbers
    local at = c.at
    local plan = numbers[at + 1] % 4

    local unit = {
        events = numbers[at],
        planned = plan ~= 0,
        chained = plan == 2,
        told = numbers[at + 1] > 3,
        nbases = numbers[at + 3],
        guard = numbers[at + 4]
    }

    c.at = at + 5

    if numbers[at + 2] == 1 then
        unit.expect = ctx.args[c.text]
        unit.bases = c.text + 1
        c.text = c.text + 1 + unit.nbases
    end

    if unit.guard > 0 then
        unit.etag = ctx.args[c.text]
        c.text = c.text + 1
    end

    return unit
end


local function is_stale(ctx, unit)
    return unit.guard ~= 0
           and not matches(unit.etag, user_text(ctx.keys[unit.guard]))
end


-- Walks a unit without writing, and moves the cursor behind it: the verdict
-- on each op, and the stored values of the object fields.  Gives what is
-- needed or nil, verdicts, and sizes.

local function plan_unit(ctx, unit, c)
    local keys, args, numbers = ctx.keys, ctx.args, ctx.numbers
    local own = {}                  -- marks of this unit
    local verdicts, bases, known, sizes = {}, {}, {}, {}
    local need = not unit.expect and unit.chained

    for _ = 1, unit.events do
        local marked, status, _, log, nops = unpack(numbers, c.at, c.at + 4)
        local fresh = true
        local m

        c.at = c.at + 5

        if marked == 1 then
            m = args[c.mark]
            c.mark = c.mark + 1
            fresh = not ctx.repeated[m] and not own[m]
        end

        if log > 0 then
            c.log = c.log + 2
        end

        for _ = 1, nops do
            local entity, kind, bytes, nplain, nobject =
                unpack(numbers, c.at, c.at + 4)
            local key = keys[entity]
            local take = fresh
            local verdict = take and 'y' or 'n'

            c.at = c.at + 5

            if take and not sizes[key]
               and (bytes >= CHECK_BYTES or ctx.large[key])
            then
                sizes[key] = entity_sizes(ctx, key)
            end

            if take and sizes[key] then
                take = sizes_add(sizes[key], ctx.fields, c.field, nplain,
                                 nobject)

                if not take then
                    verdict = 'l'
                    fresh = fresh and kind ~= 0
                end
            end

            verdicts[#verdicts + 1] = verdict

            c.field = c.field + 2 * nplain

            for _ = 1, nobject do
                local name = ctx.fields[c.field]
                local id = #key .. ':' .. key .. name

                if not known[id] then
                    local stored = redis.call('HGET', key, name) or ''

                    known[id] = true
                    bases[#bases + 1] = stored

                    if take and string.byte(stored) == 123
                       and stored ~= '{}'
                       and stored ~= ctx.fields[c.field + 1]
                    then
                        need = need or not unit.expect
                    end
                end

                c.field = c.field + 2
            end
        end

        -- of an event that is refused nothing is remembered

        if m and fresh and status ~= 2 then
            own[m] = true
        end

        local nactions = numbers[c.at]

        c.at = c.at + 1

        for _ = 1, nactions do
            local n = numbers[c.at + 1]

            c.at = c.at + 2 + n
            c.run = c.run + n
        end
    end

    local verdict = table.concat(verdicts)

    if unit.expect then
        need = unit.expect ~= verdict or #bases ~= unit.nbases

        for i = 1, unit.nbases do
            need = need or args[unit.bases + i - 1] ~= bases[i]
        end
    end

    return need and { 'need', verdict, bases } or nil, verdict, sizes
end


local function exists(ctx, key)
    local known = ctx.exists[key]

    if known == nil then
        known = redis.call('EXISTS', key) == 1
        ctx.exists[key] = known
    end

    return known
end


-- An event's ops.  Gives its status, and the entities that are too large.

local function run_ops(ctx, c, walk, nops, status)
    local keys, numbers = ctx.keys, ctx.numbers
    local refused

    for _ = 1, nops do
        local entity, kind, _, nplain, nobject =
            unpack(numbers, c.at, c.at + 4)
        local key = keys[entity]
        local nstrings = 2 * (nplain + nobject)

        walk.op = walk.op + 1
        c.at = c.at + 5

        if status ~= 'd' and status ~= 'l' then
            if walk.verdict and string.byte(walk.verdict, walk.op) ~= 121 then
                refused = refused or {}
                refused[key] = true

                if kind == 0 then
                    status = 'l'
                end
            else
                note_size(ctx, key,
                          call_chunked('HSET', key, ctx.fields, c.field,
                                       c.field + nstrings - 1),
                          walk.sizes and walk.sizes[key])
                ctx.exists[key] = true
            end
        end

        c.field = c.field + nstrings
    end

    return status, refused
end


-- An event's actions.  Gives their verdicts, and the number of runs.

local function run_actions(ctx, c, act, logged, refused)
    local keys, numbers = ctx.keys, ctx.numbers
    local nactions = numbers[c.at]
    local outcome, nruns = {}, 0

    c.at = c.at + 1

    for _ = 1, nactions do
        local actor, n = numbers[c.at], numbers[c.at + 1]

        c.at = c.at + 2

        if act then
            if logged and actor > 0 then
                outcome[#outcome + 1] = exists(ctx, keys[actor]) and 'a'
                                        or 'u'
            end

            for i = 0, n - 1 do
                local key = keys[numbers[c.at + i]]

                if refused and refused[key] then
                    outcome[#outcome + 1] = 'l'
                elseif exists(ctx, key) then
                    nruns = nruns + 1
                    ctx.enqueue[#ctx.enqueue + 1] = ctx.documents[c.run + i]
                    outcome[#outcome + 1] = 'r'
                else
                    outcome[#outcome + 1] = 'n'
                end
            end

            outcome[#outcome + 1] = ';'
        end

        c.at = c.at + n
        c.run = c.run + n
    end

    return table.concat(outcome), nruns
end


-- Walks a unit and writes, and moves the cursor behind it.  Gives what is
-- answered: the status of each event and the number of runs.

local function run_unit(ctx, unit, c, verdict, sizes)
    local args, numbers = ctx.args, ctx.numbers
    local walk = { op = 0, verdict = verdict, sizes = sizes }
    local statuses, outcomes, nruns = {}, {}, 0

    for e = 1, unit.events do
        local marked, code, count, log, nops = unpack(numbers, c.at, c.at + 4)
        local status = STATUS[code]
        local m, refused

        c.at = c.at + 5
        ctx.event = ctx.event + 1

        if marked == 1 then
            m = args[c.mark]
            c.mark = c.mark + 1

            if ctx.repeated[m] then
                status = 'd'
            end
        end

        status, refused = run_ops(ctx, c, walk, nops, status)

        local nactions = numbers[c.at]
        local outcome, n = run_actions(ctx, c, status == 'p',
                                       log > 0 or unit.told, refused)

        nruns = nruns + n
        outcomes[e] = outcome

        if m and (status == 'p' or status == 'i') then
            ctx.repeated[m] = true
            ctx.add[#ctx.add + 1] = m
        end

        if status ~= 'd' and count > 0 then
            ctx.counted[count] = (ctx.counted[count] or 0) + 1
            ctx.counted_events[ctx.event] = true
        end

        if log > 0 then
            if nactions == 0 and status == 'p' then
                outcome = string.sub(args[c.log], 2)
            end

            redis.call('XADD', ctx.keys[log], 'MAXLEN', '~', ctx.log_length,
                       '*', 's', status, 'v', outcome,
                       'd', args[c.log + 1])
            c.log = c.log + 2
        end

        statuses[e] = status
    end

    return { 'ok', table.concat(statuses), nruns,
             unit.told and table.concat(outcomes, ' ') or nil }
end


-- which of the entities are in the set of large ones

local function large_among(ctx)
    local keys, large = ctx.keys, {}

    if not ctx.any_large then
        return large
    end

    for first = K_FIRST, #keys, CHUNK do
        local last = math.min(first + CHUNK - 1, #keys)
        local found = redis.call('SMISMEMBER', keys[K_LARGE],
                                 unpack(keys, first, last))

        for i = 1, #found do
            if found[i] == 1 then
                large[keys[first + i - 1]] = true
                large.any = true
            end
        end
    end

    return large
end


-- The runs of a call and where they begin: those that were pushed are taken
-- off their list, with the token.

local function take_runs(ctx)
    if not ctx.pushed then
        return ctx.args, ctx.runs
    end

    local popped = redis.call('RPOP', ctx.keys[K_RUNS], ctx.nruns + 1)
    local runs = {}

    for i = 1, ctx.nruns do
        runs[i] = popped[ctx.nruns + 2 - i]
    end

    return runs, 1
end


local function apply_units(ctx, seen, repeated)
    local numbers, reply = {}, {}

    for n in string.gmatch(ctx.args[A_NUMBERS], '%d+') do
        numbers[#numbers + 1] = tonumber(n)
    end

    ctx.numbers = numbers
    ctx.fields = unpack_fields(ctx)
    ctx.repeated = repeated or {}
    ctx.large = large_among(ctx)
    ctx.documents, ctx.runs = take_runs(ctx)
    ctx.exists, ctx.enqueue, ctx.add = {}, {}, {}
    ctx.event, ctx.counted, ctx.counted_events = 0, {}, {}
    ctx.strings = 0

    local c = { at = 1, mark = ctx.marks + 1, field = 1,
                run = ctx.runs, log = ctx.logs, text = ctx.texts }

    while c.at <= #numbers do
        local unit = read_unit(ctx, c)
        local outdated = is_stale(ctx, unit)
        local behind, answer, verdict, sizes

        if outdated or unit.planned or ctx.large.any then
            behind = cursor_at(c)
            answer, verdict, sizes = plan_unit(ctx, unit, behind)
        end

        if outdated then
            answer = { 'stale_entity' }
        end

        if answer then
            c = behind
            ctx.event = ctx.event + unit.events
        else
            answer = run_unit(ctx, unit, c, verdict, sizes)
        end

        reply[#reply + 1] = answer
    end

    call_chunked('RPUSH', ctx.keys[K_RUNS], ctx.enqueue)
    seen_close(seen, ctx.now, ctx.add, 1, #ctx.add)
    catalogue_close(ctx, function(i, of)
        return ctx.counted[i] or 0, ctx.counted_events[of]
    end)

    return reply
end


local function apply_events(keys, args)
    local token = args[A_TOKEN]
    local pushed = token ~= ''

    if pushed and redis.call('LINDEX', keys[K_RUNS], -1) ~= token then
        return redis.error_reply('ERR the runs of this call are not at the '
                                 .. 'end of ' .. keys[K_RUNS]
                                 .. ': RPUSH must have failed')
    end

    local plan = args[A_PLAN]
    local plain, nmarks, npacks, nruns, nlogs, ncounts, nmust, nops =
        struct.unpack(PLAN_HEAD, plan)
    local packs = A_MARKS + 1 + nmarks
    local runs = packs + npacks
    local logs = pushed and runs or runs + nruns
    local counts = logs + 2 * nlogs
    local ctx = {
        keys = keys,
        args = args,
        plan = plan,
        now = now_ms(),
        log_length = args[4],
        catalogue_length = tonumber(args[5]),
        marks = A_MARKS,
        packs = packs,
        npacks = npacks,
        runs = runs,
        pushed = pushed,
        nruns = nruns,
        logs = logs,
        counts = counts,
        texts = counts + 2 * ncounts,
        nlogs = nlogs,
        ncounts = ncounts,
        nmust = nmust,
        nops = nops,
        large = {}
    }
    local seen, repeated = seen_open(ctx, tonumber(args[3]))

    -- a list of a wrong type must fail before anything is written, as it does
    -- by itself where its RPUSH is the first to write

    if plain == 1 and not repeated then
        if not pushed and nruns > 0 and nops > 0 then
            redis.call('LLEN', keys[K_RUNS])
        end

        if apply_plain(ctx, seen) then
            return { 'plain' }
        end
    end

    if not pushed then
        redis.call('LLEN', keys[K_RUNS])
    end

    return apply_units(ctx, seen, repeated)
end


local function apply(keys, args)
    local version = args[2]
    local sign = string.byte(version)

    if sign == 43 then
        local current, own = follow(keys[K_VERSION],
                                    string.match(version, '^%+(%S*) ?(.*)$'))

        return current and apply_events(keys, args) or { 'stale', own }
    end

    local own = redis.call('GET', keys[K_VERSION]) or '0'

    if sign ~= 61 then
        return own == version and apply_events(keys, args) or { 'stale', own }
    end

    local reply = apply_events(keys, args)

    if own ~= string.sub(version, 2) and not reply.err then
        reply[#reply + 1] = 'changed'
    end

    return reply
end


-- ---------------------------------------------------------------------------
-- the functions: name, callback, the least numbers of keys and of arguments,
-- flags, and the oldest version of a caller
-- ---------------------------------------------------------------------------

local function check_call(name, keys, args, nkeys, nargs, since)
    if #keys < nkeys or #args < nargs then
        return redis.error_reply('ERR ' .. name .. ' takes ' .. nkeys
                                 .. ' keys and ' .. nargs
                                 .. ' arguments at least')
    end

    if since and (tonumber(args[1]) or 0) < since then
        return redis.error_reply('ERR ' .. name .. ' of library version '
                                 .. VERSION .. ' takes no calls of version '
                                 .. args[1] .. ': update the caller')
    end
end


local function register(name, callback, nkeys, nargs, flags, since)
    redis.register_function{
        function_name = name,
        callback = function(keys, args)
            return check_version(args)
                   or check_call(name, keys, args, nkeys, nargs, since)
                   or callback(keys, args)
        end,
        flags = flags
    }
end


local READ = { 'no-writes' }

register('knock_exists', which_exist, 0, 1, READ)
register('knock_version_follow', version_follow, 1, 3)
register('knock_ready', ready, 1, 1)

register('knock_environments', environments, 1, 1, READ)
register('knock_environment_list', environment_list, 2, 1, READ)
register('knock_environment_create', environment_create, 2, 4)

register('knock_source_list', source_list, 1, 3, READ)
register('knock_source_keys', source_keys, 1, 1, READ)
register('knock_source_create', source_create, 1, 3)
register('knock_source_get', source_get, 1, 2, READ)
register('knock_source_set', source_set, 1, 4)
register('knock_source_delete', source_delete, 1, 2)

register('knock_endpoint_create', endpoint_create, 2, 4)
register('knock_endpoint_get', endpoint_get, 2, 4, READ)
register('knock_endpoint_set', endpoint_set, 2, 2)
register('knock_endpoint_patch', endpoint_patch, 3, 5)
register('knock_endpoint_rotate', endpoint_rotate, 3, 5)
register('knock_endpoint_delete', endpoint_delete, 5, 2)

register('knock_catalogue_list', catalogue_list, 2, 3, READ)
register('knock_catalogue_delete', catalogue_delete, 2, 2)
register('knock_log_page', log_page, 1, 4, READ)

register('knock_draft_list', draft_list, 2, 4, READ)
register('knock_draft_get', draft_get, 2, 3, READ)
register('knock_draft_put', draft_put, 3, 6)
register('knock_draft_delete', draft_delete, 2, 4)

register('knock_live', live, 5, 2, READ)
register('knock_live_set', live_set, 3, 1)
register('knock_live_docs', live_docs, 2, 1, READ)
register('knock_env_list', env_list, 3, 4, READ)
register('knock_env_get', env_get, 3, 3, READ)
register('knock_toggle', toggle, 2, 4)
register('knock_toggle_set', toggle_set, 5, 5)

register('knock_commit', commit, 6, 8)
register('knock_publish', publish, 5, 8)
register('knock_commit_get', commit_get, 1, 2, READ)
register('knock_commit_page', commit_page, 2, 3, READ)
register('knock_commit_revert', commit_revert, 6, 6)

register('knock_user_get', user_get, 1, 1, READ)
register('knock_user_list', user_list, 0, 1, READ)
register('knock_user_delete', user_delete, 2, 2)

register('knock_run_page', run_page, 1, 3, READ, RUNS_SINCE)
register('knock_workflow_live', workflow_live, 1, 3, READ)
register('knock_test_run', test_run, 1, 1, nil, RUNS_SINCE)

register('knock_apply', apply, 5, 9, nil, APPLY_SINCE)
