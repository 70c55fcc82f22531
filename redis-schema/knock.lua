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

-- the oldest caller whose arguments can be read by knock_apply, by what reads
-- and tests runs, and by what reads the log
local APPLY_SINCE = 5
local RUNS_SINCE = 4
local LOG_SINCE = 5

-- unpack() is bounded by Lua's C stack
local CHUNK = 4000

-- a page of a list ends behind the element that brings it to this
local PAGE_BYTES = 1024 * 1024
local PAGE_LENGTH = 1000

-- as much of a log is looked through for one page of it
local LOG_BYTES = 256 * 1024

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
-- token, created_at, enabled, identify_enabled, identify_order,
-- idempotency_enabled, signing_secret, and `revision`, which counts the changes, so that the ETag
-- tells of a new secret and not of what it is.  A token and a secret may have
-- one predecessor each, `previous_NAME`, which counts until the time in
-- `previous_NAME_valid_until`, in ms.
-- ---------------------------------------------------------------------------

local SETTINGS = {
    enabled = true,
    identify_enabled = true,
    identify_order = true,
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
                    'previous_token_valid_until', 'identify_order' }
    local fields = {}

    for i, name in ipairs(names) do
        fields[i] = source .. '/' .. name
    end

    local values = redis.call('HMGET', hash, unpack(fields))
    local token, enabled, identify, idempotency, secret, revision,
          secret_until, token_until, order = unpack(values)

    if not token or token == '' then
        return nil
    end

    local settings = '{"source":' .. quote(source)
        .. ',"environment":' .. quote(environment)
        .. ',"token":' .. quote(token)
        .. ',"url":' .. quote(url_prefix .. token)
        .. ',"enabled":' .. bool(enabled ~= '0')
        .. ',"identify_enabled":' .. bool(identify and identify ~= '0')
        .. ',"identify_order":' .. quote(order or 'timestamp')
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


-- KEYS: version, endpoints, catalogue, catalogue_info, log, log_sizes
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

    redis.call('UNLINK', unpack(keys, 3))

    if #fields > 0 then
        redis.call('HDEL', keys[2], unpack(fields))
        bump_version(keys[1])
    end

    return { 204, '', '' }
end


-- ---------------------------------------------------------------------------
-- event catalogue and event log, which workers fill by knock_record
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


-- A catalogue is two keys: a sorted set, event key -> time last seen, and a
-- hash with fields c<event key> count, f<event key> first seen, s<event key>
-- sample, and `evicted`.  Over its length the one unseen for longest goes.

local function catalogue_trim(set, info, length)
    local over = redis.call('ZCARD', set) - length

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


local function catalogue_count(set, info, event, n, seen, sample)
    if redis.call('ZADD', set, 'GT', seen, event) == 1 then
        redis.call('HSET', info, 'f' .. event, seen)
    end

    redis.call('HINCRBY', info, 'c' .. event, n)

    if sample ~= '' then
        redis.call('HSET', info, 's' .. event, sample)
    end
end


-- A log is a stream of blocks, each with `n` entries in one text, and a list of
-- what they hold, 'ENTRIES BYTES' a block.  The oldest blocks go, as long as
-- the others have enough entries, or all have too many bytes.  `info`, the
-- catalogue's, has the sums, and how many entries there ever were.

local function block_size(sizes, index)
    return string.match(redis.call('LINDEX', sizes, index) or '',
                        '^(%d+) (%d+)$')
end


-- The entries and bytes of a log before `new` blocks came, and how many entries
-- there ever were.  Where its keys are out of step, as one of them has been
-- deleted, they go on with the blocks that all of them have, and the sums are
-- counted anew.

local function log_sums(log, sizes, info, new)
    local sums = redis.call('HMGET', info, 'entries', 'bytes', 'logged')
    local blocks = math.max(0, redis.call('XLEN', log) - new)
    local listed = redis.call('LLEN', sizes)
    local entries, bytes = tonumber(sums[1] or nil), tonumber(sums[2] or nil)
    local logged = tonumber(sums[3] or nil) or 0

    if entries and bytes and blocks == listed then
        return entries, bytes, logged
    end

    blocks = math.min(blocks, listed)
    redis.call('LTRIM', sizes, listed - blocks, -1)
    entries, bytes = 0, 0

    for i = 0, blocks - 1 do
        local n, size = block_size(sizes, i)

        entries, bytes = entries + (n or 0), bytes + (size or 0)
    end

    return entries, bytes, logged
end


local function log_append(log, sizes, info, args, blocks)
    local entries, bytes, logged = log_sums(log, sizes, info, blocks)
    local length, most = tonumber(args[3]), tonumber(args[4])

    for i = 7, 6 + 2 * blocks, 2 do
        local n, size = args[i], args[i + 1]

        redis.call('RPUSH', sizes, n .. ' ' .. size)

        entries, bytes, logged = entries + n, bytes + size, logged + n
    end

    local left = redis.call('LLEN', sizes)

    while left > 1 do
        local n, size = block_size(sizes, 0)

        if n and entries - n < length and bytes <= most then
            break
        end

        redis.call('LPOP', sizes)
        entries, bytes, left = entries - (n or 0), bytes - (size or 0), left - 1
    end

    redis.call('XTRIM', log, 'MAXLEN', left)
    redis.call('HSET', info, 'entries', ms_string(entries),
               'bytes', ms_string(bytes), 'logged', ms_string(logged))
end


-- KEYS: endpoints, log, log_sizes, catalogue, catalogue_info
-- ARGV: library version, source; entries, bytes, events that are kept; the
--       number of blocks, then of each its entries and its bytes; then of each
--       event key the key, how many events came, when the last one did (ms),
--       and a sample or ''
-- Writes what there is to be looked at of events that have been applied.  The
-- blocks are in the log already: XADD put them there, in the same transaction,
-- as bytes that come through Lua are dear.  Of an endpoint that has been deleted
-- since nothing is left behind.

local function record(keys, args)
    local endpoints, log, sizes, set, info = unpack(keys)
    local blocks = tonumber(args[6])

    if redis.call('HEXISTS', endpoints, args[2] .. '/token') == 0 then
        redis.call('UNLINK', log, sizes, set, info)

        return redis.status_reply('GONE')
    end

    -- what has a wrong type fails here, before anything is written

    redis.call('ZCARD', set)
    redis.call('HLEN', info)

    if blocks > 0 then
        log_append(log, sizes, info, args, blocks)
    end

    for i = 7 + 2 * blocks, #args, 4 do
        catalogue_count(set, info, unpack(args, i, i + 3))
    end

    catalogue_trim(set, info, tonumber(args[5]))

    return redis.status_reply('OK')
end


-- KEYS: log
-- ARGV: library version, the id of the block to begin with ('' for the newest)
-- Gives { next or '', then id and text of each block }, newest first, as many
-- as hold LOG_BYTES; `next` is the id of a block that may come behind them.

local function log_page(keys, args)
    local from = args[2] == '' and '+' or args[2]
    local page, bytes = { '' }, 0

    while true do
        local found = redis.call('XREVRANGE', keys[1], from, '-', 'COUNT', 4)

        for _, entry in ipairs(found) do
            if bytes >= LOG_BYTES then
                page[1] = entry[1]
                return page
            end

            local block = entry[2][4] or ''

            page[#page + 1] = entry[1]
            page[#page + 1] = block
            bytes = bytes + #block
            from = '(' .. entry[1]
        end

        if #found < 4 then
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
-- KEYS: version, runs, seen:0, seen:1, large; then those entities of which the
--       call asks whether they exist before it brings them (recipients and
--       actors by id alone); then the others that it upserts
-- ARGV: library version, configuration version ("V"; "+V X" at a shard: it
--       follows the environment to V, from X in any case; "=V": the events have
--       been applied under V in another shard), dedupe window in ms, token or
--       '', plan, details, then columns of strings:
--
--   marks    '', then the marks of the events that have one
--   packs    the fields of each op, name and value in turn, as strings in
--            MessagePack one behind the other, 1000 fields at most in a pack.
--            Objects have a pack of their own, the last one.  The value of an
--            object that another op of the event overwrites, or that is too
--            large, is the length of its text
--   runs     the documents of the runs, unless there is a token
--   texts    what was answered before of the events that are sent again, and
--            the ETag of the guard
--
-- With a token the runs stand at the tail of their list already, with the token
-- behind them: RPUSH put them there, the command before this one in the same
-- transaction, as bytes that come through Lua are dear.  A script behind this
-- one takes all of them off if the token is still there then, so that a call
-- that fails, or cannot be made, leaves nothing behind.
--
-- An event is applied whole or not at all, whatever becomes of the others.
-- The plan is enough where all is as the caller expects: each event new, each
-- recipient known, no object to be merged.  The details are looked at only
-- where something is not; what is unusual costs what it adds, and its
-- neighbours nothing.  Both are integers, big-endian, of a fixed number of
-- bytes, so that each is found without reading the others; events, runs and
-- actors are counted from 1, keys are indexes in KEYS.
--
--   plan     head, 4 bytes each: numbers of the entities to ask for, of marks,
--            of those among them that are remembered (the others, of events
--            that failed, are only looked up), of packs, runs and events; the
--            guard's key or 0; the numbers of twins and of actors
--            ops, 10 bytes each, in order of the events: key (3), event (2),
--            four times the number of packs (2; and 2 more: the last pack has
--            objects; and 1 more: only the recipient falls if the op is
--            refused, else the event does), 0 or the index of the op among the
--            heavy ones (3).  If one op of an event is heavy, all of them are
--   details  event of each mark (2)
--            twins: event (2), and an earlier event that has the same mark (2)
--            first run of each event, and of one behind the last (3)
--            request of each event, counted (2)
--            recipient's key of each run (3)
--            actors: event (2) and key (3) of each that is to be asked for
--            heavy ops: bytes that the call brings to the entity (4), 1 if the
--            event is sent again (1) and, at the first op of such an event, the
--            index of its first text (3)
--
-- A heavy op is of an entity that the call brings so much that it may become too
-- large, or of an event that sets one object twice, or is sent again.  An op that belongs to the order of identify
-- events begins with the field ORDERED, a time as JSON: if the entity has a
-- later one, the op fills in what is missing, and overwrites nothing.
--
-- The guard is a user that must be as the last text, an ETag, says.
--
-- Gives { 'stale', version } if the configuration has changed, { 'guarded' } if
-- the guard is not as it says; else { 'ok', ... }, or { 'changed', ... } under
-- "=V" if the configuration has another version, with all that is not as the
-- caller expects, one behind the other:
--
--   'd', event             a repeat
--   'l', event             its user would be too large
--   'n', event, verdicts, number of bases, bases
--                          objects are to be merged into stored ones: nothing
--                          of the event is applied.  A verdict for each op (y,
--                          it applies; o, it only fills in; l, its entity would
--                          be too large), and the stored value, or '', of each
--                          distinct object field.  The caller merges, and sends
--                          the event again with what was answered and merged
--   'w', event             not looked at: to be sent again as it is
--   'x', event, message    Redis refuses it: a key has a wrong type
--   'u', run               its recipient is not identified
--   'b', run               its recipient would be too large
--   'a', actor             the actor is not identified
--
-- Runs of events that are named are not enqueued.  An error is answered before
-- anything is written.
-- ---------------------------------------------------------------------------

local K_VERSION, K_RUNS, K_SEEN, K_LARGE, K_FIRST = 1, 2, 3, 5, 6
local A_VERSION, A_WINDOW, A_TOKEN, A_PLAN, A_DETAILS, A_MARKS = 2, 3, 4, 5, 6, 7

local ORDERED = 'identified_at'

-- When so many strings of stored entities, or bytes of stored objects, have
-- been read, events that need more of either wait for the next call: others
-- want Redis too.
local MOST_STRINGS = 50000
local MOST_BASES = 256 * 1024


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


local HEAD_BYTES, OP_BYTES = 36, 10


-- integers of 2 and of 3 bytes, behind so many bytes of a string

local function uint16(text, at)
    local a, b = string.byte(text, at + 1, at + 2)

    return a * 256 + b
end


local function uint24(text, at)
    local a, b, c = string.byte(text, at + 1, at + 3)

    return (a * 256 + b) * 256 + c
end


local function mark_event(ctx, mark)
    return uint16(ctx.details, 2 * mark - 2)
end


-- the first run of an event, and the first one behind it

local function runs_of(ctx, event)
    local at = ctx.first_run + 3 * event

    return uint24(ctx.details, at - 3), uint24(ctx.details, at)
end


local function request_of(ctx, event)
    return uint16(ctx.details, ctx.requests + 2 * event - 2)
end


local function run_key(ctx, run)
    return uint24(ctx.details, ctx.run_key + 3 * run - 3)
end


-- An op: key, event, four times its packs (and 2, and 1), index among the heavy
-- ones or 0.

local function read_op(plan, at)
    local a, b, c, d, e, f, g, h, i, j = string.byte(plan, at + 1,
                                                     at + OP_BYTES)

    return (a * 256 + b) * 256 + c, d * 256 + e, f * 256 + g,
           (h * 256 + i) * 256 + j
end


-- The marks of a window stand in two hashes that take turns, mark -> time;
-- the field '' holds the time from which on the hash has nothing to say.
-- Gives the hash to write to, and the indexes of the marks that are repeats,
-- or nil if none is.

local function seen_open(ctx)
    local args, now, window = ctx.args, ctx.now, ctx.window
    local from, to = A_MARKS, A_MARKS + ctx.marks
    local period = math.floor(now / window)
    local seen = {
        key = ctx.keys[K_SEEN + period % 2],
        expires = (period + 2) * window
    }
    local current = hmget(seen.key, args, from, to)
    local other = ctx.keys[K_SEEN + (period + 1) % 2]
    local previous = {}

    if redis.call('EXISTS', other) == 1 then
        previous = hmget(other, args, from, to)
    end

    local repeated

    for i = 2, to - from + 1 do
        local a, b = current[i], previous[i]

        if a or b then
            a = tonumber(a or nil)
            b = tonumber(b or nil)

            if (a and now - a < window) or (b and now - b < window) then
                repeated = repeated or {}
                repeated[#repeated + 1] = i - 1
            end
        end
    end

    seen.current_expires = tonumber(current[1] or nil)

    return seen, repeated
end


-- Remembers the marks of the events that are applied.  An expiry further away
-- than two windows is of a clock that went back since.

local function seen_close(ctx, seen)
    local args, dropped = ctx.args, ctx.unusual and ctx.dropped
    local add, n, time = {}, 0, ms_string(ctx.now)
    local expires = seen.current_expires

    for i = 1, ctx.remembered do
        if not dropped or not dropped[mark_event(ctx, i)] then
            add[n + 1] = args[A_MARKS + i]
            add[n + 2] = time
            n = n + 2
        end
    end

    if n == 0 then
        return
    end

    if expires and expires <= ctx.now then
        redis.call('DEL', seen.key)
        expires = nil
    end

    call_chunked('HSET', seen.key, add)

    if not expires or expires < seen.expires
       or expires > ctx.now + 2 * ctx.window
    then
        redis.call('HSET', seen.key, '', ms_string(seen.expires))
        redis.call('PEXPIREAT', seen.key, ms_string(seen.expires))
    end
end


-- ---------------------------------------------------------------------------
-- apply: how much an entity holds
-- ---------------------------------------------------------------------------

-- What an entity takes, and, as they are asked for, its fields.  An entity is
-- read once a call: sizes_add() keeps the sizes as what the call writes.

local function entity_sizes(ctx, key)
    local all, total = redis.call('HGETALL', key), 0

    for i = 1, #all do
        total = total + #all[i]
    end

    ctx.strings = ctx.strings + #all
    ctx.uncollected = ctx.uncollected + #all

    if ctx.uncollected > STRINGS then
        collectgarbage()
        ctx.uncollected = 0
    end

    return { key = key, total = total, fields = {} }
end


-- What the ops of an event have laid on the sizes is not written: their entities
-- are read again when they are asked for.

local function sizes_forget(ctx, event_ops)
    for _, op in ipairs(event_ops) do
        if op.verdict ~= 'l' then
            ctx.sizes[op.key] = nil
        end
    end
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
-- would be too large.  What an older op finds stays as it is, but for an object
-- that has been merged.

local function sizes_add(sizes, fields, nplain, older)
    local total = sizes.total
    local new = {}

    for i = 1, #fields, 2 do
        local name, value = fields[i], fields[i + 1]
        local there = new[name] or field_size(sizes, name)
        local n = #name + #value

        if i <= 2 * nplain or string.byte(value) ~= 123 then
            if older and there > 0 then
                n = there
            elseif i > 2 * nplain then
                n = #name + (tonumber(value) or #value)
            end
        end

        total = total + n - there
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
        ctx.careful = true
    end
end


-- ---------------------------------------------------------------------------
-- apply: what is not as the caller expects
-- ---------------------------------------------------------------------------

local function except(ctx, what, index)
    local out = ctx.out

    out[#out + 1] = what
    out[#out + 1] = index
end


-- Asks of the entities of an event's ops whether they were there before the
-- call, of which the event is not applied: later runs may be for them.

local function probe(ctx, event_ops)
    for i = 1, #event_ops do
        local key = event_ops[i].index

        if key >= ctx.others and ctx.existed[key] == nil then
            ctx.existed[key] = redis.call('EXISTS', ctx.keys[key]) == 1
        end
    end
end


-- An event is not applied: it is a repeat (d), refused (l, x), or is to be
-- sent again (n, w).

local function drop(ctx, event, why)
    ctx.dropped[event] = why
    ctx.unusual = true
    except(ctx, why, event)
end


local function drop_repeats(ctx, repeated)
    for i = 1, repeated and #repeated or 0 do
        drop(ctx, mark_event(ctx, repeated[i]), 'd')
    end

    if ctx.ntwins > 0 then
        ctx.twins = {}

        for i = 0, ctx.ntwins - 1 do
            local at = 2 * ctx.marks + 4 * i

            ctx.twins[uint16(ctx.details, at)] = uint16(ctx.details, at + 2)
        end
    end
end


-- Whether an event has runs that must not go before those of an event that is
-- to be sent again: that one is of the same request, or upserts a recipient.

local function is_run_held(ctx, event)
    local first, behind = runs_of(ctx, event)
    local waits = ctx.waiting and ctx.waiting[request_of(ctx, event)]

    if waits and waits < event and first < behind then
        return true
    end

    for run = first, behind - 1 do
        local holder = ctx.held[run_key(ctx, run)]

        if holder and holder < event then
            return true
        end
    end

    return false
end


-- An event is a repeat of an earlier one of the call, if that is applied.

local function drop_twin(ctx, event)
    local first = ctx.twins[event]

    if first and not ctx.dropped[event] then
        local why = ctx.dropped[first]

        if not why or why == 'd' then
            drop(ctx, event, 'd')
        elseif why == 'n' or why == 'w' then
            drop(ctx, event, 'w')
        end
    end
end


-- ---------------------------------------------------------------------------
-- apply: upserts
-- ---------------------------------------------------------------------------

-- Adds those of the fields, name and value in turn, that an entity lacks.  An
-- object has what is stored in it by now; the first `plain` strings are of no
-- objects, and of those behind them one that is none is only a length.  Gives
-- how many fields have come.

local function fill_in(key, fields, plain)
    local added, updated, is_changed = 0, nil, false

    for i = 1, #fields, 2 do
        local name, value = fields[i], fields[i + 1]

        if name == 'updated_at' then
            updated = value

        elseif string.byte(value) == 123 then
            local stored = redis.call('HGET', key, name)

            if not stored
               or (string.byte(stored) == 123 and stored ~= value)
            then
                added = added + redis.call('HSET', key, name, value)
                is_changed = true
            end

        elseif i <= plain and name ~= ORDERED then
            added = added + redis.call('HSETNX', key, name, value)
        end
    end

    if updated and (is_changed or added > 0) then
        redis.call('HSET', key, 'updated_at', updated)
    end

    return added
end


-- Sets the fields of an entity, name and value in turn, or only fills in where
-- it has taken something newer.  Gives how many have come, or an error.

local function set_fields(key, name, value, ...)
    if name == ORDERED then
        local newest = redis.pcall('HGET', key, ORDERED)

        if newest and (newest.err or newest > value) then
            return newest.err and newest
                   or fill_in(key, { ... }, select('#', ...))
        end
    end

    return redis.pcall('HSET', key, name, value, ...)
end


-- The usual op: its event is new, its entity not large, nothing is merged.  An
-- op that is not heavy has one pack, or with objects two.  Gives Redis' error, or
-- nil.

local function upsert(ctx, key, pack, objects)
    local args = ctx.args
    local fields = objects and args[pack] .. args[pack + 1] or args[pack]
    local added = set_fields(key, cmsgpack.unpack(fields))

    if type(added) ~= 'number' then
        return added.err
    end

    if added > 0 then
        note_size(ctx, key, added)
    end
end


-- The stored values of objects, name and value in turn, and of `n` before them,
-- are put into a list, '' where there is none.  Gives whether one of them is to
-- be merged into what is stored, and Redis' error, if the entity has a wrong
-- type.

local function stored_objects(key, stored, n, name, value, ...)
    local base = redis.pcall('HGET', key, name) or ''

    if base.err then
        return true, base.err
    end

    local merges = base ~= '' and base ~= value and base ~= '{}'
                   and string.byte(base) == 123

    stored[n + 1] = base

    if ... == nil then
        return merges
    end

    local more, err = stored_objects(key, stored, n + 1, ...)

    return merges or more, err
end


-- Of a heavy op the bytes that the call brings to its entity, and the first of
-- the texts of its event, or 0.

local function read_heavy(ctx, heavy)
    local details, at = ctx.details, ctx.heavy + 8 * (heavy - 1)

    return uint16(details, at) * 65536 + uint16(details, at + 2),
           string.byte(details, at + 5) == 1 and uint24(details, at + 5) or 0
end


-- Fills in what an op needs that is looked at: fields (name and value in turn),
-- plain (how many are no objects), bytes.  Gives the first of the texts of its
-- event, or 0.

local function open_op(ctx, op)
    local fields, n = {}, 0

    for i = op.pack, op.pack + op.packs - 1 do
        local strings = { cmsgpack.unpack(ctx.args[i]) }

        if op.objects and i == op.pack + op.packs - 1 then
            op.plain = n / 2
        end

        for j = 1, #strings do
            fields[n + j] = strings[j]
        end

        n = n + #strings
    end

    op.fields = fields
    op.plain = op.plain or n / 2
    op.bytes = 0

    if op.heavy == 0 then
        return 0
    end

    local text

    op.bytes, text = read_heavy(ctx, op.heavy)

    return text
end


-- whether the entity has taken a newer op of those that have an order

local function is_older(op)
    local newest = op.fields[1] == ORDERED
                   and redis.call('HGET', op.key, ORDERED)

    return newest and newest > op.fields[2]
end


-- Judges the ops of an event without writing: op.verdict, op.sizes.  Gives the
-- verdicts, the stored value of each distinct object field, whether one of them
-- has to be merged, and whether the event falls.

local function judge(ctx, event_ops)
    local verdicts, bases, known, sizes = {}, {}, {}, ctx.sizes
    local merges, falls = false, false

    for _, op in ipairs(event_ops) do
        local verdict = is_older(op) and 'o' or 'y'
        local key = op.key

        if not sizes[key] and (op.bytes >= CHECK_BYTES or ctx.large[key]) then
            sizes[key] = entity_sizes(ctx, key)
        end

        if sizes[key] and not sizes_add(sizes[key], op.fields, op.plain,
                                        verdict == 'o')
        then
            verdict = 'l'
            falls = falls or not op.recipient
        end

        for i = 2 * op.plain + 1, #op.fields, 2 do
            local name, value = op.fields[i], op.fields[i + 1]
            local id = #key .. ':' .. key .. name

            if known[id] then
                merges = true
            else
                local stored = redis.call('HGET', key, name) or ''

                known[id] = true
                bases[#bases + 1] = stored
                ctx.bases = ctx.bases + #stored

                if verdict ~= 'l' and string.byte(stored) == 123
                   and stored ~= '{}' and stored ~= value
                then
                    merges = true
                end
            end
        end

        op.verdict = verdict
        op.sizes = sizes[key]
        verdicts[#verdicts + 1] = verdict
    end

    return table.concat(verdicts), bases, merges, falls
end


-- whether what was answered of an event that is sent again still stands

local function is_same(ctx, text, verdicts, bases)
    local args = ctx.args

    if args[text] ~= verdicts then
        return false
    end

    for i = 1, #bases do
        if args[text + i] ~= bases[i] then
            return false
        end
    end

    return true
end


-- Writes an op that has been judged.  What an older one brings to an object has
-- been merged under what is stored.

local function write_op(ctx, op)
    local key, fields = op.key, op.fields
    local added

    if op.verdict == 'y' then
        added = call_chunked('HSET', key, fields)
    else
        added = fill_in(key, fields, 2 * op.plain)
    end

    note_size(ctx, key, added, op.sizes)
end


-- An event is to be sent again: later runs of its request wait for its own.

local function wait(ctx, event, why)
    local first, behind = runs_of(ctx, event)

    if first < behind then
        local request = request_of(ctx, event)

        ctx.waiting = ctx.waiting or {}
        ctx.waiting[request] = ctx.waiting[request] or event
    end

    drop(ctx, event, why)
end


-- An event with ops waits (w), or is answered what it is to be merged into (n):
-- those behind it that touch the same entities go on after it.

local function hold(ctx, event, event_ops, why)
    ctx.held = ctx.held or {}
    ctx.careful = true

    for _, op in ipairs(event_ops) do
        ctx.held[op.index] = ctx.held[op.index] or event
    end

    probe(ctx, event_ops)
    wait(ctx, event, why)
end


-- Looks at the events without ops that come before this one and have not been
-- looked at.  Where no event waits they need no look.

local function pass(ctx, event)
    for i = ctx.passed + 1, (ctx.twins or ctx.held) and event - 1 or 0 do
        if ctx.twins then
            drop_twin(ctx, i)
        end

        if ctx.held and not ctx.dropped[i] and is_run_held(ctx, i) then
            wait(ctx, i, 'w')
        end
    end

    ctx.passed = event
end


local function refuse(ctx, event, op)
    probe(ctx, { op })

    ctx.refused[event] = ctx.refused[event] or {}
    ctx.refused[event][op.index] = true
    ctx.unusual = true
end


-- An event whose ops are looked at one by one.  `held`: it touches what an
-- event before it is to be merged into.

local function apply_heavy(ctx, event, event_ops, held)
    local out, text = ctx.out, 0

    if ctx.strings > MOST_STRINGS or ctx.bases > MOST_BASES then
        return hold(ctx, event, event_ops, 'w')
    end

    for _, op in ipairs(event_ops) do
        local length = redis.pcall('HLEN', op.key)

        if type(length) ~= 'number' then
            drop(ctx, event, 'x')
            out[#out + 1] = length.err
            return
        end

        text = math.max(text, open_op(ctx, op))
    end

    local verdicts, bases, merges, falls = judge(ctx, event_ops)

    if falls and not held then
        sizes_forget(ctx, event_ops)
        probe(ctx, event_ops)
        return drop(ctx, event, 'l')
    end

    if held and #bases == 0 then
        sizes_forget(ctx, event_ops)
        return hold(ctx, event, event_ops, 'w')
    end

    if text > 0 then
        merges = not is_same(ctx, ctx.texts + text - 1, verdicts, bases)
    end

    if held or merges then
        sizes_forget(ctx, event_ops)
        hold(ctx, event, event_ops, 'n')
        out[#out + 1] = verdicts
        out[#out + 1] = #bases

        for i = 1, #bases do
            out[#out + 1] = bases[i]
        end

        return
    end

    for _, op in ipairs(event_ops) do
        if op.verdict == 'l' then
            refuse(ctx, event, op)
        else
            write_op(ctx, op)
        end
    end
end


-- The ops of an event, from one that has been read; gives also where the next
-- event begins, and its first pack.

local function ops_of(ctx, event, at, pack)
    local plan, event_ops = ctx.args[A_PLAN], {}

    while at < #plan do
        local key, of, packs, heavy = read_op(plan, at)

        if of ~= event then
            break
        end

        event_ops[#event_ops + 1] = {
            index = key, key = ctx.keys[key], heavy = heavy,
            recipient = packs % 2 == 1, objects = packs % 4 > 1,
            pack = pack, packs = math.floor(packs / 4)
        }

        pack = pack + math.floor(packs / 4)
        at = at + OP_BYTES
    end

    return event_ops, at, pack
end


-- An event that is unusual, or may be, for it is none of a single light op.

local function apply_event(ctx, event, event_ops)
    local held, look = false, event_ops[1].heavy > 0

    pass(ctx, event)

    if ctx.twins then
        drop_twin(ctx, event)
    end

    if ctx.dropped[event] then
        return probe(ctx, event_ops)
    end

    for _, op in ipairs(event_ops) do
        held = held or (ctx.held and ctx.held[op.index])
        look = look or ctx.large[op.key]
               or (op.objects
                   and stored_objects(op.key, {}, 0,
                                      cmsgpack.unpack(ctx.args[op.pack + 1])))
    end

    held = held or (ctx.held and is_run_held(ctx, event))

    if held or look then
        return apply_heavy(ctx, event, event_ops, held)
    end

    for _, op in ipairs(event_ops) do
        local err = upsert(ctx, op.key, op.pack, op.objects)

        if err then
            drop(ctx, event, 'x')
            ctx.out[#ctx.out + 1] = err
            return
        end
    end
end


-- whether the next op is of this event too

local function is_of_next(plan, at, event)
    local d, e = string.byte(plan, at + OP_BYTES + 4, at + OP_BYTES + 5)

    return d and d * 256 + e == event
end


-- Answers what the objects of an event with one op are to be merged into.

local function ask_to_merge(ctx, event, key, stored)
    local out = ctx.out

    hold(ctx, event, { { index = key } }, 'n')
    out[#out + 1] = 'y'
    out[#out + 1] = #stored

    for i = 1, #stored do
        out[#out + 1] = stored[i]
        ctx.bases = ctx.bases + #stored[i]
    end
end


-- whether the objects that an event's one op was merged from are still stored

local function is_merged_from(ctx, text, stored)
    local args, first = ctx.args, ctx.texts + text - 1

    if text == 0 or args[first] ~= 'y' then
        return false
    end

    for i = 1, #stored do
        if args[first + i] ~= stored[i] then
            return false
        end
    end

    return true
end


-- whether an entity has taken nothing newer than what the first pack of an op
-- begins with

local function is_in_order(ctx, key, pack)
    local name, value = cmsgpack.unpack(ctx.args[pack])
    local newest = name == ORDERED and redis.call('HGET', key, ORDERED)

    return not newest or newest <= value
end


-- An event with one op that has objects, new or merged; it brings its entity
-- little, which is not large.  Gives false if it has to be looked at as a whole.

local function apply_objects(ctx, event, index, pack, heavy)
    local key, bytes, text, stored = ctx.keys[index], 0, 0, {}

    if heavy > 0 then
        bytes, text = read_heavy(ctx, heavy)
    end

    if bytes >= CHECK_BYTES then
        return false
    end

    local merges, err = stored_objects(key, stored, 0,
                                       cmsgpack.unpack(ctx.args[pack + 1]))

    if err or (heavy > 0 and not is_merged_from(ctx, text, stored))
       or ((heavy > 0 or merges) and not is_in_order(ctx, key, pack))
    then
        return false
    end

    if heavy == 0 and merges then
        ask_to_merge(ctx, event, index, stored)
        return true
    end

    err = upsert(ctx, key, pack, true)

    if err then
        drop(ctx, event, 'x')
        ctx.out[#ctx.out + 1] = err
    end

    return true
end


-- All ops, event by event.  Most events have one op that needs no look.

local function apply_ops(ctx)
    local keys, plan, dropped = ctx.keys, ctx.args[A_PLAN], ctx.dropped
    local stop = #plan
    local at, pack = HEAD_BYTES, A_MARKS + ctx.marks + 1

    while at < stop do
        local key, event, packs, heavy = read_op(plan, at)

        local single = packs < 12 and not dropped[event] and not ctx.twins
                       and not is_of_next(plan, at, event)

        if single and packs < 8 and heavy == 0 and not ctx.careful then
            local err = upsert(ctx, keys[key], pack)

            if err then
                drop(ctx, event, 'x')
                ctx.out[#ctx.out + 1] = err
            end

            at, pack = at + OP_BYTES, pack + 1

        elseif single and packs > 9 and not ctx.large[keys[key]]
               and not (ctx.held and (ctx.held[key] or is_run_held(ctx, event)))
               and ctx.bases <= MOST_BASES
               and apply_objects(ctx, event, key, pack, heavy)
        then
            at, pack = at + OP_BYTES, pack + 2

        else
            local event_ops

            event_ops, at, pack = ops_of(ctx, event, at, pack)
            apply_event(ctx, event, event_ops)
        end
    end
end


-- ---------------------------------------------------------------------------
-- apply: runs
-- ---------------------------------------------------------------------------

-- how many of the keys from..to there are

local function count_existing(keys, from, to)
    local n = 0

    for first = from, to, CHUNK do
        n = n + redis.call('EXISTS',
                           unpack(keys, first,
                                  math.min(first + CHUNK - 1, to)))
    end

    return n
end


-- Notes which of the entities from..to are missing, of which `there` exist.

local function find_missing(ctx, from, to, there)
    local n = to - from + 1

    if there == n then
        return
    end

    if there == 0 then
        for i = from, to do
            ctx.missing[i] = true
        end

        return
    end

    local middle = math.floor((from + to) / 2)
    local left = count_existing(ctx.keys, from, middle)

    find_missing(ctx, from, middle, left)
    find_missing(ctx, middle + 1, to, there - left)
end


-- For each entity the first event of the call whose op has been applied to it.

local function first_upserts(ctx)
    local plan, first = ctx.args[A_PLAN], {}

    for at = HEAD_BYTES, #plan - 1, OP_BYTES do
        local key, event = read_op(plan, at)
        local refused = ctx.refused[event]

        if not ctx.dropped[event] and not (refused and refused[key]) then
            first[key] = first[key] or event
        end
    end

    return first
end


-- Whether somebody may be missing whom a run or an actor is about.

local function is_somebody_missing(ctx)
    if next(ctx.missing) or next(ctx.refused) then
        return true
    end

    for _, existed in pairs(ctx.existed) do
        if not existed then
            return true
        end
    end

    return false
end


-- Looks for those whom runs and actors are about, and notes the runs that must
-- not stay.

local function reject_runs(ctx, first, rejected)
    local function is_known(key, event)
        return (first[key] and first[key] <= event)
               or (key < ctx.others and not ctx.missing[key])
               or ctx.existed[key] or false
    end

    for event = 1, ctx.events do
        if not ctx.dropped[event] then
            local from, behind = runs_of(ctx, event)
            local refused = ctx.refused[event]

            for run = from, behind - 1 do
                local key = run_key(ctx, run)
                local why = refused and refused[key] and 'b'
                            or not is_known(key, event) and 'u'

                if why then
                    rejected[run] = true
                    except(ctx, why, run)
                end
            end
        end
    end

    for i = 1, ctx.nactors do
        local at = ctx.actors + 5 * (i - 1)
        local event, key = uint16(ctx.details, at), uint24(ctx.details, at + 2)

        if not ctx.dropped[event] and not is_known(key, event) then
            except(ctx, 'a', i)
        end
    end
end


-- Of a call in which something is unusual, the runs that must not stay.

local function rejected_runs(ctx)
    local rejected = {}

    pass(ctx, ctx.events + 1)

    if is_somebody_missing(ctx) then
        reject_runs(ctx, first_upserts(ctx), rejected)
    end

    for event in pairs(ctx.dropped) do
        local from, behind = runs_of(ctx, event)

        for run = from, behind - 1 do
            rejected[run] = true
        end
    end

    return rejected
end


-- Enqueues the runs.  Those that were pushed stay, the rejected ones are made
-- like the token, and go with it.

local function enqueue(ctx, rejected)
    local runs, n, token = ctx.keys[K_RUNS], ctx.runs, ctx.args[A_TOKEN]
    local first, nrejected = ctx.texts - n, 0

    for _ in pairs(rejected or {}) do
        nrejected = nrejected + 1
    end

    if ctx.pushed then
        if nrejected == 0 then
            redis.call('RPOP', runs)
        elseif nrejected == n then
            redis.call('LTRIM', runs, 0, -(n + 2))
        else
            for run in pairs(rejected) do
                redis.call('LSET', runs, run - n - 2, token)
            end

            redis.call('LREM', runs, -(nrejected + 1), token)
        end

        return
    end

    if nrejected == 0 then
        call_chunked('RPUSH', runs, ctx.args, first, first + n - 1)
        return
    end

    local stay = {}

    for run = 1, n do
        if not rejected[run] then
            stay[#stay + 1] = ctx.args[first + run - 1]
        end
    end

    call_chunked('RPUSH', runs, stay)
end


-- ---------------------------------------------------------------------------
-- apply: a call
-- ---------------------------------------------------------------------------

local function open_call(keys, args)
    local plan, pushed = args[A_PLAN], args[A_TOKEN] ~= ''
    local checked, marks, remembered, packs, runs, events, guard, twins, actors
        = struct.unpack('>I4I4I4I4I4I4I4I4I4', plan)
    local first_run = 2 * marks + 4 * twins
    local requests = first_run + 3 * (events + 1)
    local run_keys = requests + 2 * events

    return {
        keys = keys, args = args, pushed = pushed,
        now = now_ms(), window = tonumber(args[A_WINDOW]),
        others = K_FIRST + checked,     -- the first key that is not asked for
        marks = marks, remembered = remembered, runs = runs, events = events,
        guard = guard, ntwins = twins, nactors = actors,
        texts = A_MARKS + 1 + marks + packs + (pushed and 0 or runs),

        details = args[A_DETAILS],      -- and where its columns begin
        first_run = first_run, requests = requests, run_key = run_keys,
        actors = run_keys + 3 * runs,
        heavy = run_keys + 3 * runs + 5 * actors,

        out = { 'ok' },                 -- and what is not as expected
        unusual = false,
        dropped = {},                   -- event -> why
        refused = {},                   -- event -> keys of recipients
        missing = {},                   -- key: there is none
        existed = {},                   -- key of the others -> whether
        twins = nil,                    -- event -> the earlier one
        held = nil,                     -- key -> the event that holds it
        waiting = nil,                  -- request -> its first event that does
        passed = 0,                     -- the last event that was looked at
        large = {},                     -- whole key: it may be near the bound
        careful = false,                -- no op without a look at its entity
        sizes = {},                     -- whole key -> what it takes, if asked
        strings = 0, uncollected = 0, bases = 0
    }
end


-- which of the entities of the ops may be near the bound

local function find_large(ctx)
    local keys, plan, names = ctx.keys, ctx.args[A_PLAN], {}

    if #plan == HEAD_BYTES or redis.call('EXISTS', keys[K_LARGE]) == 0 then
        return
    end

    for at = HEAD_BYTES, #plan - 1, OP_BYTES do
        names[#names + 1] = keys[read_op(plan, at)]
    end

    for first = 1, #names, CHUNK do
        local found = redis.call('SMISMEMBER', keys[K_LARGE],
                                 unpack(names, first,
                                        math.min(first + CHUNK - 1, #names)))

        for i = 1, #found do
            if found[i] == 1 then
                ctx.large[names[first + i - 1]] = true
                ctx.careful = true
            end
        end
    end
end


local function apply_events(keys, args)
    local ctx = open_call(keys, args)
    local token, guard = args[A_TOKEN], ctx.guard

    -- what has a wrong type fails here, before anything is written

    if ctx.pushed and redis.call('LINDEX', keys[K_RUNS], -1) ~= token then
        return redis.error_reply('ERR the runs of this call are not at the '
                                 .. 'end of ' .. keys[K_RUNS]
                                 .. ': RPUSH must have failed')
    end

    if not ctx.pushed and ctx.runs > 0 then
        redis.call('LLEN', keys[K_RUNS])
    end

    if guard > 0 and not matches(args[#args], user_text(keys[guard])) then
        return { 'guarded' }
    end

    local seen, repeated = seen_open(ctx)
    local last = ctx.others - 1
    local there = count_existing(keys, K_FIRST, last)

    if there < last - K_FIRST + 1 then
        ctx.unusual = true
        find_missing(ctx, K_FIRST, last, there)
    end

    find_large(ctx)

    if repeated or ctx.ntwins > 0 then
        drop_repeats(ctx, repeated)
    end

    apply_ops(ctx)

    local rejected = (ctx.unusual or ctx.twins) and rejected_runs(ctx)

    if ctx.runs > 0 then
        enqueue(ctx, rejected)
    end

    seen_close(ctx, seen)

    return ctx.out
end


local function apply(keys, args)
    local version = args[A_VERSION]
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

    if own ~= string.sub(version, 2) and reply[1] == 'ok' then
        reply[1] = 'changed'
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
register('knock_endpoint_delete', endpoint_delete, 6, 2)

register('knock_catalogue_list', catalogue_list, 2, 3, READ)
register('knock_catalogue_delete', catalogue_delete, 2, 2)
register('knock_log_page', log_page, 1, 2, READ, LOG_SINCE)
register('knock_record', record, 5, 6)

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

register('knock_apply', apply, 5, 7, nil, APPLY_SINCE)
