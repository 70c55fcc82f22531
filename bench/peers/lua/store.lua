-- From a unit to Redis: one EVALSHA, and what it answers.
--
-- The request is encoded here and not by the client's own method, which takes
-- its arguments on the stack, where those of a large batch have no room, and
-- makes five strings of each.

-- luacheck: globals ngx

local new_tab = require "table.new"
local redis = require "nginx.redis"
local config = require "config"
local event = require "event"

local floor, type, rawget = math.floor, type, rawget
local concat = table.concat

local unit = event.unit

local BUCKET = 86400000             -- ms: marks are kept for one to two days

local base = config.prefix .. ":{" .. config.environment .. "}:"

local _M = {}


-- "\r\n$LENGTH\r\n": the end of an argument and the head of the next one

local head = {}

for n = 0, 4096 do
    head[n] = "\r\n$" .. n .. "\r\n"
end


local function argument(s)
    return (head[#s] or "\r\n$" .. #s .. "\r\n") .. s
end


-- names of fields, encoded; a sender that makes names up has them encoded anew

local names, nnames = {}, 0

local function name(s)
    local text = names[s]

    if not text then
        text = argument(s)

        if nnames < 4096 then
            nnames = nnames + 1
            names[s] = text
        end
    end

    return text
end


local function script(file)
    local path = config.scripts .. "/" .. file
    local f = assert(io.open(path, "rb"))
    local text = f:read("*a")

    f:close()

    local hex = {}

    for i, c in ipairs({ string.byte(ngx.sha1_bin(text), 1, -1) }) do
        hex[i] = string.format("%02x", c)
    end

    local sha = concat(hex)

    return { text = text, evalsha = argument("EVALSHA") .. argument(sha),
             eval = argument("EVAL") .. argument(text) }
end


local one = script("apply-one.lua")
local many = script("apply-many.lua")

local RUNS = argument(base .. "runs")
local USER = base .. "user:"
local CATALOGUE = base .. "catalogue:" .. config.source .. ":"


-- the keys of the marks of today and of the day before

local marks_day, marks_keys = nil, nil

local function marks()
    local day = floor(unit.ms / BUCKET)

    if day ~= marks_day then
        marks_day = day
        marks_keys = RUNS .. argument(base .. "marks:" .. day)
                     .. argument(base .. "marks:" .. day - 1)
    end

    return marks_keys
end


-- When an event key was last seen goes to Redis once a ms: event key => ms.

local seen, nseen = {}, 0

local function time_seen(key)
    local ms = unit.ms

    if seen[key] == ms then
        return ""
    end

    if seen[key] == nil then
        if nseen >= 4096 then
            seen, nseen = {}, 0
        end

        nseen = nseen + 1
    end

    seen[key] = ms

    return ms .. ""
end


local catalogue, ncatalogue = {}, 0

local function catalogue_key(key)
    local text = catalogue[key]

    if not text then
        text = argument(CATALOGUE .. key)

        if ncatalogue < 4096 then
            ncatalogue = ncatalogue + 1
            catalogue[key] = text
        end
    end

    return text
end


-- Puts the fields of a unit's users, numbers `from` to `to`, at `n`.

local function put_fields(req, n, from, to)
    local fields = unit.fields

    for i = from, to, 2 do
        local value = fields[i + 1]

        req[n + 1] = name(fields[i])
        req[n + 2] = head[#value] or "\r\n$" .. #value .. "\r\n"
        req[n + 3] = value
        n = n + 3
    end

    return n
end


-- Whether all of the unit concerns one user, or none, and one event.

local function is_one()
    if unit.nevents ~= 1 or unit.ncats ~= 1 or unit.cat_counts[1] ~= 1 then
        return false
    end

    local nruns, nstored = unit.nruns, unit.nstored

    return nruns + nstored <= 1
           or nruns == 1 and nstored == 1 and unit.run_user[1] == unit.stored[1]
end


local function encode_one(req, script_head)
    local key = unit.cats[1]
    local mark, time = unit.marks[1], time_seen(key)
    local user = unit.nruns == 1 and unit.run_user[1] or unit.stored[1]
    local nargs = 3 + 4 + 2

    req[2] = script_head

    if unit.nruns + unit.nstored == 0 then
        req[3] = "\r\n$1\r\n4"
        req[4] = marks()
        req[5] = catalogue_key(key)
        req[6] = ""

    else
        nargs = nargs + 2 + (unit.nstored == 1 and unit.nfields or 0)
        req[3] = "\r\n$1\r\n5"
        req[4] = marks()
        req[5] = catalogue_key(key)
        req[6] = argument(USER .. user)
    end

    req[1] = "*" .. nargs
    req[7] = head[#mark]
    req[8] = mark
    req[9] = head[#time]
    req[10] = time

    local n = 10

    if req[6] ~= "" then
        local run = unit.nruns == 1 and unit.runs[1] or ""

        req[11] = head[#run] or "\r\n$" .. #run .. "\r\n"
        req[12] = run
        n = 12

        if unit.nstored == 1 then
            n = put_fields(req, n, 1, unit.nfields)
        end
    end

    req[n + 1] = "\r\n"
end


local numbers = {}

local function list(column, n)
    for i = 1, n do
        numbers[i] = column[i]
    end

    numbers[n + 1] = ""

    return argument(concat(numbers, ",", 1, n + 1))
end


local function encode_many(req, script_head)
    local nruns, nstored, ncats = unit.nruns, unit.nstored, unit.ncats
    local nevents = unit.nevents
    local n = 4

    for i = 1, ncats do
        n = n + 1
        req[n] = catalogue_key(unit.cats[i])
    end

    -- who must be there, each once

    local index, nbare, run_of = {}, 0, new_tab(2 * nruns, 0)

    for r = 1, nruns do
        local at = 0

        if unit.run_bare[r] then
            local id = unit.run_user[r]

            at = index[id]

            if not at then
                nbare = nbare + 1
                at = 3 + ncats + nbare
                index[id] = at
                n = n + 1
                req[n] = argument(USER .. id)
            end
        end

        run_of[2 * r - 1] = unit.run_event[r]
        run_of[2 * r] = at
    end

    for s = 1, nstored do
        n = n + 1
        req[n] = argument(USER .. unit.stored[s])
    end

    req[n + 1] = argument(ncats .. "")
    req[n + 2] = argument(nbare .. "")
    req[n + 3] = argument(nevents .. "")
    req[n + 4] = argument(nruns .. "")
    req[n + 5] = argument(nstored .. "")
    req[n + 6] = argument(unit.ms .. "")
    req[n + 7] = list(unit.cat_of, nevents)
    req[n + 8] = list(run_of, 2 * nruns)
    req[n + 9] = list(unit.stored_event, nstored)
    req[n + 10] = list(unit.cat_counts, ncats)
    n = n + 10

    for i = 1, nevents do
        local mark = unit.marks[i]

        req[n + 1] = head[#mark]
        req[n + 2] = mark
        n = n + 2
    end

    for i = 1, nruns do
        local run = unit.runs[i]

        req[n + 1] = head[#run] or "\r\n$" .. #run .. "\r\n"
        req[n + 2] = run
        n = n + 2
    end

    local from = 1

    for s = 1, nstored do
        local to = unit.stored_to[s]

        req[n + 1] = argument(to - from + 1 .. "")
        n = put_fields(req, n + 1, from, to)
        from = to + 1
    end

    local nkeys = 3 + ncats + nbare + nstored

    req[1] = "*" .. 3 + nkeys + 10 + nevents + nruns + nstored + unit.nfields
    req[2] = script_head
    req[3] = argument(nkeys .. "")
    req[4] = marks()
    req[n + 1] = "\r\n"
end


-- Sends a request over a connection from the pool: Redis's answer, or nil and
-- why there is none.

local function call(req)
    local client = redis:new()

    client:set_timeout(config.timeout)

    local ok, err = client:connect(config.redis)

    if not ok then
        return nil, err
    end

    client:init_pipeline(1)
    rawget(client, "_reqs")[1] = req

    local answers

    answers, err = client:commit_pipeline()

    if not answers then
        client:close()
        return nil, err
    end

    client:set_keepalive(60000, config.pool)

    local answer = answers[1]

    if type(answer) == "table" and answer[1] == false then
        return nil, answer[2]
    end

    return answer
end


-- Applies the unit: its number of runs, of duplicates, and of those that would
-- have been ignored; nil and why not.
--
-- The unit is the next request's as soon as this one waits.

function _M.apply()
    local used, encode, req

    if is_one() then
        used, encode = one, encode_one
        req = new_tab(16 + unit.nfields * 2, 0)
    else
        used, encode = many, encode_many
        req = new_tab(64 + unit.nfields * 2 + unit.nruns * 4
                      + unit.nevents * 2 + unit.nstored * 2, 0)
    end

    encode(req, used.evalsha)

    local answer, err = call(req)

    if not answer and err and err:find("^NOSCRIPT") then
        req[2] = used.eval
        answer, err = call(req)
    end

    if not answer then
        return nil, err
    end

    if used == one then
        if answer < 0 then
            return 0, 1
        end

        return answer, 0
    end

    if type(answer) == "table" then
        return answer[1], answer[2], answer[3]
    end

    return answer, 0, 0
end


return _M
