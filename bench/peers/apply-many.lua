-- The events of one request, in order, all of it or none.
--
-- KEYS: runs, marks, marks before, catalogue keys, distinct users who must be
--       there, users to be stored
-- ARGV: 1 number of catalogue keys
--       2 number of distinct users who must be there
--       3 number of events, which is that of marks
--       4 number of runs
--       5 number of users to be stored
--       6 time seen in ms
--       7 for each event: index of its catalogue key, negative if it is ignored
--       8 for each run: its event, index in KEYS of a user who must be there
--         or 0
--       9 for each user to be stored: its event
--      10 how often each catalogue key was seen, duplicates aside
--      then marks, runs, and for each user to be stored the number of
--      arguments that follow for it: field, value, ...
--
-- Lists of numbers have a comma behind each.  They are read only where events
-- have to be told apart.  Gives the number of runs, or { runs, duplicates,
-- duplicates of ignored events }.

-- luacheck: globals KEYS ARGV

local call, K, A = redis.call, KEYS, ARGV
local unpack = unpack

local CHUNK = 4000      -- unpack() is bounded by Lua's stack

local ncat, nbare, nevents = tonumber(A[1]), tonumber(A[2]), tonumber(A[3])
local nruns, nstored = tonumber(A[4]), tonumber(A[5])
local seen = A[6]

local mark0 = 10
local run0 = mark0 + nevents
local fields0 = run0 + nruns
local bare0 = 3 + ncat
local stored0 = bare0 + nbare

-- which have been seen

local duplicate, ndup = nil, 0

for set = 2, 3 do
    if nevents > 0 and (set == 2 or call('EXISTS', K[3]) == 1) then
        local found = call('SMISMEMBER', K[set], unpack(A, mark0 + 1, run0))

        for e = 1, nevents do
            if found[e] == 1 then
                duplicate = duplicate or {}

                if not duplicate[e] then
                    duplicate[e] = true
                    ndup = ndup + 1
                end
            end
        end
    end
end

-- whether all who must be there are

local known = 0

for first = bare0 + 1, stored0, CHUNK do
    known = known + call('EXISTS', unpack(K, first,
                                   math.min(first + CHUNK - 1, stored0)))
end

if nevents > 0 then
    call('SADD', K[2], unpack(A, mark0 + 1, run0))
    call('EXPIRE', K[2], 172800)
end

local result = nruns

if not duplicate and known == nbare then

    -- nothing depends on the order but what is stored twice

    local at = fields0 + 1

    for s = 1, nstored do
        local n = tonumber(A[at])
        call('HSET', K[stored0 + s], unpack(A, at + 1, at + n))
        at = at + n + 1
    end

    for first = run0 + 1, fields0, CHUNK do
        call('RPUSH', K[1],
             unpack(A, first, math.min(first + CHUNK - 1, fields0)))
    end

else
    local function numbers(list)
        local t, n = {}, 0

        for number in string.gmatch(list, '(-?%d+),') do
            n = n + 1
            t[n] = tonumber(number)
        end

        return t
    end

    duplicate = duplicate or {}

    local cat_of, run_of, stored_of = numbers(A[7]), numbers(A[8]),
                                      numbers(A[9])
    local at, s, r, n, ignored = fields0 + 1, 1, 1, 0, 0
    local runs = {}

    for e = 1, nevents do
        local apply = not duplicate[e]

        if not apply and cat_of[e] < 0 then
            ignored = ignored + 1
        end

        while stored_of[s] == e do
            local nargs = tonumber(A[at])

            if apply then
                call('HSET', K[stored0 + s], unpack(A, at + 1, at + nargs))
            end

            at = at + nargs + 1
            s = s + 1
        end

        while run_of[2 * r - 1] == e do
            local user = run_of[2 * r]

            if apply and (user == 0 or call('EXISTS', K[user]) == 1) then
                n = n + 1
                runs[n] = A[run0 + r]
            end

            r = r + 1
        end
    end

    for first = 1, n, CHUNK do
        call('RPUSH', K[1],
             unpack(runs, first, math.min(first + CHUNK - 1, n)))
    end

    duplicate.of = {}

    for e = 1, nevents do
        if duplicate[e] then
            local cat = math.abs(cat_of[e])
            duplicate.of[cat] = (duplicate.of[cat] or 0) + 1
        end
    end

    result = { n, ndup, ignored }
end

local cat = 0

for number in string.gmatch(A[10], '(%d+),') do
    cat = cat + 1

    local n = tonumber(number)

    if ndup > 0 then
        n = n - (duplicate.of[cat] or 0)
    end

    if n > 0 then
        if call('HINCRBY', K[3 + cat], 'count', n) == n then
            call('HSET', K[3 + cat], 'first_seen', seen, 'last_seen', seen)
        else
            call('HSET', K[3 + cat], 'last_seen', seen)
        end
    end
end

return result
