#!lua name=knock

--
-- The Redis side of ngx_knock: every state change that must be atomic is one
-- function of this library.
--
-- The worker does all JSON work; what arrives here are finished strings, which
-- are stored and moved but never decoded (cjson would turn [] into {} and
-- round numbers).  Every key that a function touches comes in KEYS, and all
-- keys of one call stand in one slot.  The first argument of every call is the
-- version of the library that the caller was built with.
--
-- A function reads and decides first, and writes only when nothing can fail
-- any more: Redis does not roll back.
--

local VERSION = 1

-- unpack() is bounded by Lua's C stack
local CHUNK = 4000

-- the fixed keys of knock_apply
local K_VERSION, K_RUNS, K_SEEN, K_LARGE, K_FIRST = 1, 2, 3, 5, 6

-- where the marks begin among its arguments
local A_MARKS = 7

-- An entity may hold MAX_BYTES.  To measure one costs a read of it all, so
-- only those that may be near are measured: members of the set of large ones
-- (over LARGE_BYTES when last measured, or over LARGE_FIELDS fields), and
-- whatever an upsert of CHECK_BYTES or more touches.  What is not in the set
-- stays under LARGE_BYTES + LARGE_FIELDS * CHECK_BYTES, below the bound.
local MAX_BYTES = 256 * 1024
local LARGE_BYTES = 32 * 1024
local LARGE_FIELDS = 100
local CHECK_BYTES = 2048


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


-- calls `command key prefix... list...` as often as the list's length asks

local function call_chunked(command, key, list)
    for first = 1, #list, CHUNK do
        redis.call(command, key,
                   unpack(list, first, math.min(first + CHUNK - 1, #list)))
    end
end


local function mget_chunked(key, fields)
    local values = {}

    for first = 1, #fields, CHUNK do
        local part = redis.call('HMGET', key,
                                unpack(fields, first,
                                       math.min(first + CHUNK - 1, #fields)))

        for i = 1, #part do
            values[first + i - 1] = part[i]
        end
    end

    return values
end


-- ---------------------------------------------------------------------------
-- configuration: what is live in an environment, under one version
-- ---------------------------------------------------------------------------

-- A version is never used twice, not even after a flush or a failover that
-- lost the newest writes: it carries the time.

local function bump_version(key)
    local t = redis.call('TIME')
    local n = tonumber(string.match(redis.call('GET', key) or '', '%-(%d+)$'))

    redis.call('SET', key, string.format('%s.%06d-%.0f', t[1], t[2],
                                         (n or 0) + 1))
end


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


-- KEYS: environments
-- ARGV: library version
-- Gives the keys of the environments in order.

local function environments(keys)
    local list = redis.call('LRANGE', keys[1], 0, -1)

    if #list == 0 then
        return { 'development', 'production' }
    end

    return list
end


-- KEYS: version, endpoints
-- ARGV: library version, source, then field and value in turn
-- Sets fields of a source's endpoint in this environment.

local function endpoint_set(keys, args)
    for i = 3, #args, 2 do
        redis.call('HSET', keys[2], args[2] .. '/' .. args[i], args[i + 1])
    end

    bump_version(keys[1])

    return redis.status_reply('OK')
end


-- KEYS: version, workflows, actions
-- ARGV: library version, then type ('workflow', 'action'), key and document in
--       turn; an empty document takes the resource out
-- Makes documents live.

local function live_set(keys, args)
    local hash = { workflow = keys[2], action = keys[3] }

    for i = 2, #args, 3 do
        if not hash[args[i]] then
            return redis.error_reply('ERR unknown resource type "' .. args[i]
                                     .. '": use workflow or action')
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


-- KEYS: version, toggles
-- ARGV: library version, type, key, '1' or '0'
-- Makes a workflow or an action active or inactive.

local function toggle(keys, args)
    redis.call('HSET', keys[2], args[2] .. '/' .. args[3], args[4])
    bump_version(keys[1])

    return redis.status_reply('OK')
end


-- ---------------------------------------------------------------------------
-- apply: the events of one or more requests
--
-- KEYS: version, runs, seen:0, seen:1, large, then catalogue, log and entity
--       keys, which the arguments name by their index
-- ARGV: library version, configuration version, dedupe window in ms, log
--       length, catalogue length, number of marks, the marks of all events
--       that have one, number of units, then the units
--
--   unit:    events, 1 if it must be planned, expected verdicts or '',
--            number of bases, bases, the events
--   event:   1 if it has a mark, status, catalogue key, event key, sample or
--            '', log key or 0, log document, number of ops, ops, number of
--            actions, actions
--   op:      entity key, kind, bytes, plain fields, object fields, then name
--            and value of each
--   action:  actor's key or 0, recipients, then entity key and run of each
--
-- A unit is what one request holds: it is applied whole or not at all.
-- Status: p(rocessed), i(gnored), f(ailed), as the worker sees the event;
-- here it may turn out to be a d(uplicate) or too l(arge).  Kind of an op:
-- e, the event stands or falls with it; r, only the recipient does.
--
-- Gives { 'stale' } if the configuration has changed, else for each unit
-- { 'ok', statuses, runs } or, where an object is to be merged into a stored
-- one, { 'need', verdicts, bases }: nothing of the unit is applied then, and
-- the worker sends it again with the merged values, the verdicts (y or n for
-- each op) and the bases that the merge was made from.
-- ---------------------------------------------------------------------------


-- The marks of a window stand in two hashes that take turns, mark -> time;
-- the field '' holds the time from which on the hash has nothing to say.

local function seen_open(keys, args, nmarks, now, window)
    local period = math.floor(now / window)
    local seen = {
        key = keys[K_SEEN + period % 2],
        expires = (period + 2) * window,
        add = {}
    }
    local fields = { '' }

    for i = 1, nmarks do
        fields[i + 1] = args[A_MARKS + i - 1]
    end

    local current = mget_chunked(seen.key, fields)
    local previous = mget_chunked(keys[K_SEEN + (period + 1) % 2], fields)
    local repeated = {}

    for i = 1, nmarks do
        local a = tonumber(current[i + 1] or nil)
        local b = tonumber(previous[i + 1] or nil)

        if (a and now - a < window) or (b and now - b < window) then
            repeated[fields[i + 1]] = true
        end
    end

    seen.current_expires = tonumber(current[1] or nil)
    seen.repeated = repeated

    return seen
end


local function seen_close(seen, now)
    if #seen.add == 0 then
        return
    end

    if seen.current_expires and seen.current_expires <= now then
        redis.call('DEL', seen.key)
        seen.current_expires = nil
    end

    call_chunked('HSET', seen.key, seen.add)

    if not seen.current_expires or seen.current_expires < seen.expires then
        redis.call('HSET', seen.key, '', ms_string(seen.expires))
        redis.call('PEXPIREAT', seen.key, ms_string(seen.expires))
    end
end


local function entity_sizes(key)
    local all = redis.call('HGETALL', key)
    local sizes = { total = 0, fields = {} }

    for i = 1, #all, 2 do
        local n = #all[i] + #all[i + 1]

        sizes.fields[all[i]] = n
        sizes.total = sizes.total + n
    end

    return sizes
end


-- Lays an op's fields on the sizes; false (and sizes unchanged) if the entity
-- would be too large.

local function sizes_add(sizes, args, at, nfields)
    local total = sizes.total
    local new = {}

    for i = at, at + 2 * nfields - 1, 2 do
        local name = args[i]
        local n = #name + #args[i + 1]

        total = total + n - (new[name] or sizes.fields[name] or 0)
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


-- Walks a unit without writing: the verdict on each op, and the stored values
-- of the object fields.  Gives verdicts, sizes, and what is needed or nil.

local function plan(ctx, unit)
    local keys, args = ctx.keys, ctx.args
    local at, mark = unit.at, unit.mark
    local own = {}                  -- marks of this unit
    local verdicts, bases, known, sizes = {}, {}, {}, {}
    local need = unit.expect == '' and unit.chained

    for _ = 1, unit.events do
        local fresh = true

        if args[at] == '1' then
            local m = args[mark]

            mark = mark + 1
            fresh = not ctx.seen.repeated[m] and not own[m]

            if args[at + 1] ~= 'f' then
                own[m] = true
            end
        end

        local nops = tonumber(args[at + 7])

        at = at + 8

        for _ = 1, nops do
            local key = keys[tonumber(args[at])]
            local kind = args[at + 1]
            local bytes = tonumber(args[at + 2])
            local nplain = tonumber(args[at + 3])
            local nobject = tonumber(args[at + 4])
            local take = fresh

            at = at + 5

            if take and not sizes[key]
               and (bytes >= CHECK_BYTES or ctx.large[key])
            then
                sizes[key] = entity_sizes(key)
            end

            if take and sizes[key] then
                take = sizes_add(sizes[key], args, at, nplain + nobject)

                if not take and kind == 'e' then
                    fresh = false
                end
            end

            verdicts[#verdicts + 1] = take and 'y' or 'n'

            at = at + 2 * nplain

            for _ = 1, nobject do
                local name = args[at]
                local id = #key .. ':' .. key .. name

                if not known[id] then
                    local stored = redis.call('HGET', key, name) or ''

                    known[id] = true
                    bases[#bases + 1] = stored

                    if take and string.byte(stored) == 123
                       and stored ~= '{}' and stored ~= args[at + 1]
                    then
                        need = need or unit.expect == ''
                    end
                end

                at = at + 2
            end
        end

        local nactions = tonumber(args[at])

        at = at + 1

        for _ = 1, nactions do
            at = at + 2 + 2 * tonumber(args[at + 1])
        end
    end

    local verdict = table.concat(verdicts)

    if unit.expect ~= '' then
        need = unit.expect ~= verdict or #bases ~= unit.nbases

        for i = 1, unit.nbases do
            need = need or args[unit.bases + i - 1] ~= bases[i]
        end
    end

    return at, mark, need and { 'need', verdict, bases } or nil, verdict, sizes
end


local function upsert(ctx, key, at, nfields, size)
    local last = at + 2 * nfields - 1
    local added = 0

    for first = at, last, CHUNK do
        added = added + redis.call('HSET', key,
                                   unpack(ctx.args, first,
                                          math.min(first + CHUNK - 1, last)))
    end

    ctx.exists[key] = true

    if (size and size.total > LARGE_BYTES)
       or (added > 0 and redis.call('HLEN', key) > LARGE_FIELDS)
    then
        redis.call('SADD', ctx.keys[K_LARGE], key)
    end
end


local function exists(ctx, key)
    local known = ctx.exists[key]

    if known == nil then
        known = redis.call('EXISTS', key) == 1
        ctx.exists[key] = known
    end

    return known
end


local function catalogue_count(ctx, index, event, sample)
    local entries = ctx.catalogue[index]

    if not entries then
        entries = {}
        ctx.catalogue[index] = entries
    end

    local entry = entries[event]

    if not entry then
        entry = { count = 0, sample = '' }
        entries[event] = entry
    end

    entry.count = entry.count + 1

    if sample ~= '' then
        entry.sample = sample
    end
end


-- A catalogue is two keys: a sorted set, event key -> time last seen, and a
-- hash with fields c<event key> count, f<event key> first seen, s<event key>
-- sample, and `evicted`.  Over its length the one unseen for longest goes.

local function catalogue_close(ctx)
    local now = ms_string(ctx.now)

    for index, entries in pairs(ctx.catalogue) do
        local set, info = ctx.keys[index], ctx.keys[index + 1]

        for event, entry in pairs(entries) do
            if redis.call('ZADD', set, now, event) == 1 then
                redis.call('HSET', info, 'f' .. event, now)
            end

            redis.call('HINCRBY', info, 'c' .. event, entry.count)

            if entry.sample ~= '' then
                redis.call('HSET', info, 's' .. event, entry.sample)
            end
        end

        local over = redis.call('ZCARD', set) - ctx.catalogue_length

        if over > 0 then
            local gone = redis.call('ZPOPMIN', set, over)

            for i = 1, #gone, 2 do
                redis.call('HDEL', info, 'c' .. gone[i], 'f' .. gone[i],
                           's' .. gone[i])
            end

            redis.call('HINCRBY', info, 'evicted', over)
        end
    end
end


-- Walks a unit and writes.  Gives the index behind the unit, that of its next
-- mark, and what is answered: the status of each event and the number of runs.

local function run_unit(ctx, unit, verdict, sizes)
    local keys, args = ctx.keys, ctx.args
    local at, mark, op = unit.at, unit.mark, 0
    local statuses, nruns = {}, 0

    for e = 1, unit.events do
        local marked, status = args[at], args[at + 1]
        local cat, event, sample = args[at + 2], args[at + 3], args[at + 4]
        local log, doc = tonumber(args[at + 5]), args[at + 6]
        local nops = tonumber(args[at + 7])
        local m

        at = at + 8

        if marked == '1' then
            m = args[mark]
            mark = mark + 1

            if ctx.seen.repeated[m] then
                status = 'd'
            end
        end

        local refused

        for _ = 1, nops do
            local key = keys[tonumber(args[at])]
            local kind = args[at + 1]
            local nfields = tonumber(args[at + 3]) + tonumber(args[at + 4])

            op = op + 1
            at = at + 5

            if status ~= 'd' and status ~= 'l' then
                if verdict and string.byte(verdict, op) == 110 then
                    refused = refused or {}
                    refused[key] = true

                    if kind == 'e' then
                        status = 'l'
                    end
                else
                    upsert(ctx, key, at, nfields, sizes and sizes[key])
                end
            end

            at = at + 2 * nfields
        end

        local nactions = tonumber(args[at])
        local act = status == 'p'
        local outcome = {}

        at = at + 1

        for _ = 1, nactions do
            local actor, n = tonumber(args[at]), tonumber(args[at + 1])

            at = at + 2

            if act then
                if log > 0 and actor > 0 then
                    outcome[#outcome + 1] =
                        exists(ctx, keys[actor]) and 'a' or 'u'
                end

                for _ = 1, n do
                    local key = keys[tonumber(args[at])]

                    if refused and refused[key] then
                        outcome[#outcome + 1] = 'l'
                    elseif exists(ctx, key) then
                        nruns = nruns + 1
                        ctx.runs[#ctx.runs + 1] = args[at + 1]
                        outcome[#outcome + 1] = 'r'
                    else
                        outcome[#outcome + 1] = 'n'
                    end

                    at = at + 2
                end

                outcome[#outcome + 1] = ';'
            else
                at = at + 2 * n
            end
        end

        if m and (status == 'p' or status == 'i') then
            ctx.seen.repeated[m] = true

            local add = ctx.seen.add

            add[#add + 1] = m
            add[#add + 1] = ctx.now_string
        end

        if status ~= 'd' then
            catalogue_count(ctx, tonumber(cat), event, sample)
        end

        if log > 0 then
            redis.call('XADD', keys[log], 'MAXLEN', '~', ctx.log_length, '*',
                       's', status, 'v', table.concat(outcome), 'd', doc)
        end

        statuses[e] = status
    end

    return at, mark, { 'ok', table.concat(statuses), nruns }
end


-- which of the entities are in the set of large ones

local function large_among(keys)
    local large = {}

    if redis.call('EXISTS', keys[K_LARGE]) == 0 then
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


local function apply(keys, args)
    if (redis.call('GET', keys[K_VERSION]) or '0') ~= args[2] then
        return { 'stale' }
    end

    -- of a wrong type it must fail here, before anything is written
    redis.call('LLEN', keys[K_RUNS])

    local nmarks = tonumber(args[6])
    local now = now_ms()
    local ctx = {
        keys = keys,
        args = args,
        now = now,
        now_string = ms_string(now),
        log_length = args[4],
        catalogue_length = tonumber(args[5]),
        seen = seen_open(keys, args, nmarks, now, tonumber(args[3])),
        large = large_among(keys),
        exists = {},
        runs = {},
        catalogue = {}
    }
    local at = A_MARKS + nmarks
    local nunits = tonumber(args[at])
    local mark = A_MARKS
    local reply = {}

    at = at + 1

    for u = 1, nunits do
        local unit = {
            events = tonumber(args[at]),
            chained = args[at + 1] == '2',
            expect = args[at + 2],
            nbases = tonumber(args[at + 3]),
            bases = at + 4,
            at = at + 4 + tonumber(args[at + 3]),
            mark = mark
        }
        local next_at, next_mark, answer, verdict, sizes

        if args[at + 1] ~= '0' or ctx.large.any then
            next_at, next_mark, answer, verdict, sizes = plan(ctx, unit)
        end

        if not answer then
            next_at, next_mark, answer = run_unit(ctx, unit, verdict, sizes)
        end

        reply[u] = answer
        at, mark = next_at, next_mark
    end

    call_chunked('RPUSH', keys[K_RUNS], ctx.runs)
    seen_close(ctx.seen, now)
    catalogue_close(ctx)

    return reply
end


local function register(name, callback, flags)
    redis.register_function{
        function_name = name,
        callback = function(keys, args)
            return check_version(args) or callback(keys, args)
        end,
        flags = flags
    }
end


register('knock_environments', environments, { 'no-writes' })
register('knock_live', live, { 'no-writes' })
register('knock_endpoint_set', endpoint_set)
register('knock_live_set', live_set)
register('knock_toggle', toggle)
register('knock_apply', apply)
