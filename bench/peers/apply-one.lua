-- One event that touches at most one user, all of it or none: the shape of
-- nearly everything that comes, so it is spared the bookkeeping of
-- apply-many.lua.
--
-- KEYS: runs, marks, marks before, catalogue[, user]
-- ARGV: mark, time seen in ms ('' if it was sent within this ms)
--       [, run ('' for none)[, field, value, ...]]
--
-- A user with fields is stored, one without must be there already to have the
-- run.  Gives the number of runs, -1 for a duplicate.

-- luacheck: globals KEYS ARGV

local call, K, A = redis.call, KEYS, ARGV
local mark, seen = A[1], A[2]

-- The first write refuses for want of memory, or on a replica, before
-- anything has been changed.  A mark found in the set before is put into this
-- one too, which does no harm.

if call('SADD', K[2], mark) == 0 or call('SISMEMBER', K[3], mark) == 1 then
    return -1
end

local n, runs = #A, 0

if n > 3 then
    call('HSET', K[5], unpack(A, 4))

    if A[3] ~= '' then
        call('RPUSH', K[1], A[3])
        runs = 1
    end

elseif n == 3 and call('EXISTS', K[5]) == 1 then
    call('RPUSH', K[1], A[3])
    runs = 1
end

local count = call('HINCRBY', K[4], 'count', 1)

if seen ~= '' then
    call('HSET', K[4], 'last_seen', seen)
    call('EXPIRE', K[2], 172800)
end

if count == 1 then
    if seen == '' then
        local t = call('TIME')
        seen = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
    end

    call('HSET', K[4], 'first_seen', seen)
end

return runs
