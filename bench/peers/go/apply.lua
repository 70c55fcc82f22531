-- What may stand of the runs that have just been pushed, and all else that
-- their events change.
--
-- KEYS: runs, marks, marks before, known users, catalogue's counts, first and
--       last times
-- ARGV: 1 number of events, which is that of marks
--       2 number of runs, the last of the list
--       3 number of users to be stored
--       4 number of catalogue keys
--       5 time in ms
--       6 for each event six bytes: the last of its runs (3), the last of the
--         users it stores (2), its catalogue key (1), each counted from 1
--       then marks; the recipient of each run; the users to be stored;
--       each catalogue key and how often it was seen; for each user to be
--       stored the number of arguments that follow for it: field, value, ...
--
-- The service has seen to it that no mark is there twice.  Gives 0 if all
-- stands; else a list of events that were there already, and of runs, as
-- negative numbers, whose recipients are not known.

-- luacheck: globals KEYS ARGV

local call, K, A, unpack = redis.call, KEYS, ARGV, unpack

local CHUNK = 7000      -- unpack() is bounded by Lua's stack
local USER = string.sub(K[4], 1, -2) .. ':'

local events, runs, stored = tonumber(A[1]), tonumber(A[2]), tonumber(A[3])
local mark0 = 6
local to0 = mark0 + events
local id0 = to0 + runs
local cat0 = id0 + stored
local field = cat0 + 2 * tonumber(A[4]) + 1

local dropped, gone, forgotten, removed, less


-- Calls found(n) for each of the arguments that is a member, or is none.

local function each(key, from, to, is, found)
    for first = from, to, CHUNK do
        local last = math.min(first + CHUNK - 1, to)
        local members = call('SMISMEMBER', key, unpack(A, first, last))

        for i = 1, last - first + 1 do
            if members[i] == is then
                found(first - from + i)
            end
        end
    end
end


local function ends(e)
    if e == 0 then
        return 0, 0
    end

    local a, b, c, d, f, cat = string.byte(A[6], 6 * e - 5, 6 * e)

    return a * 65536 + b * 256 + c, d * 256 + f, cat
end


local function drop(r)
    call('LSET', K[1], r - runs - 1, '-')
    removed = (removed or 0) + 1
end


local function repeated(e)
    if not gone then
        dropped, gone, forgotten, less = dropped or {}, {}, {}, {}

    elseif gone[e] then
        return
    end

    local run, user, cat = ends(e)
    local run0, user0 = ends(e - 1)

    gone[e] = true
    dropped[#dropped + 1] = e
    less[cat] = (less[cat] or 0) + 1

    for r = run0 + 1, run do
        drop(r)
    end

    for u = user0 + 1, user do
        forgotten[u] = true
    end
end


each(K[2], mark0 + 1, to0, 1, repeated)

if call('EXISTS', K[3]) == 1 then
    each(K[3], mark0 + 1, to0, 1, repeated)
end


-- A recipient may have been identified by an event of the same call.

local event_of, made
local new = {}

each(K[4], to0 + 1, cat0, 0, function(r)
    if r > runs then
        if not (forgotten and forgotten[r - runs]) then
            new[#new + 1] = A[to0 + r]
        end

        return
    end

    if not made then
        local run0, user0 = 0, 0

        event_of, made = {}, {}

        for e = 1, events do
            local run, user = ends(e)

            for n = run0 + 1, run do
                event_of[n] = e
            end

            for u = user0 + 1, user do
                local id = A[id0 + u]

                if not (gone and gone[e]) and not made[id] then
                    made[id] = e
                end
            end

            run0, user0 = run, user
        end
    end

    local e = event_of[r]

    if gone and gone[e] then
        return
    end

    local since = made[A[to0 + r]]

    if not since or since > e then
        drop(r)
        dropped = dropped or {}
        dropped[#dropped + 1] = -r
    end
end)

if removed then
    call('LREM', K[1], -removed, '-')
end

for first = mark0 + 1, to0, CHUNK do
    call('SADD', K[2], unpack(A, first, math.min(first + CHUNK - 1, to0)))
end

for first = 1, #new, CHUNK do
    call('SADD', K[4], unpack(new, first, math.min(first + CHUNK - 1, #new)))
end

for u = 1, stored do
    local last = field + tonumber(A[field])

    if not (forgotten and forgotten[u]) then
        call('HSET', USER .. A[id0 + u], unpack(A, field + 1, last))
    end

    field = last + 1
end

for cat = 1, tonumber(A[4]) do
    local key = A[cat0 + 2 * cat - 1]
    local n = tonumber(A[cat0 + 2 * cat]) - (less and less[cat] or 0)

    if n > 0 then
        if call('HINCRBY', K[5], key, n) == n then
            call('HSET', K[6], key, A[5])
        end

        call('HSET', K[7], key, A[5])
    end
end

return dropped or 0
