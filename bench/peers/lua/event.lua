-- From a decoded event to what is to be done in Redis: a unit's columns.

-- luacheck: globals ngx

local cjson = require "cjson"
local clear = require "table.clear"
local new_tab = require "table.new"
local config = require "config"

local find, format = string.find, string.format
local lower, sub = string.lower, string.sub
local floor, pairs, type = math.floor, pairs, type
local encode, null = cjson.encode, cjson.null
local md5, now, utctime = ngx.md5, ngx.now, ngx.utctime

local identified = { id = true, updated_at = true, collection = true }

local _M = {}


-- JSON of a string

local function quote(s)
    if find(s, '[%c"\\]') then
        return encode(s)
    end

    return '"' .. s .. '"'
end

_M.quote = quote


local function json(v)
    local t = type(v)

    if t == "string" then
        return quote(v)
    end

    if t == "boolean" then
        return v and "true" or "false"
    end

    return encode(v)
end


-- an id as a string, nil if it is none

local function id_of(v)
    local t = type(v)

    if t == "string" then
        local n = #v

        return n > 0 and n <= 256 and not find(v, "%c") and v or nil
    end

    return t == "number" and v == floor(v) and format("%.0f", v) or nil
end


local function uuid(s)
    local h = md5(s)

    return sub(h, 1, 8) .. "-" .. sub(h, 9, 12) .. "-" .. sub(h, 13, 16) .. "-"
           .. sub(h, 17, 20) .. "-" .. sub(h, 21)
end


-- A path of dotted keys as a function that goes there.

local function compile(path)
    local code = { "local type = type return function(v)" }

    for key in string.gmatch(path, "[^.]+") do
        code[#code + 1] = format(
            'if type(v) ~= "table" then return nil end v = v[%q]', key)
    end

    code[#code + 1] = "return v end"

    return assert(loadstring(table.concat(code, " "), "=" .. path))()
end


local actions = {}              -- event key => list of compiled actions

for _, action in ipairs(config.actions) do
    local key = encode(action.key)
    local list = actions[action.event] or {}

    actions[action.event] = list
    list[#list + 1] = {
        key = action.key,
        recipients = compile(action.recipients),
        path = action.recipients,
        actor = compile(action.actor),
        tenant = compile(action.tenant),
        cancellation_key = compile(action.cancellation_key),
        seed = config.environment .. "\n" .. config.source .. "\n"
               .. action.key .. "\n",
        head = '","workflow":' .. encode(action.workflow)
               .. ',"environment":' .. encode(config.environment)
               .. ',"source":' .. encode(config.source)
               .. ',"event":' .. quote(action.event) .. ',"message_id":',
        middle = ',"action":' .. key
                 .. ',"recipient":{"collection":"$users","id":',
    }
end


-- the time as RFC 3339, in ms

local stamp_second, stamp_text = nil, nil
local stamp_ms, stamp = nil, nil

local function timestamp()
    local time = now()
    local ms = floor(time * 1000 + 0.5)

    if ms ~= stamp_ms then
        local second = floor(ms / 1000)

        if second ~= stamp_second then
            stamp_second = second
            local text = utctime()
            stamp_text = sub(text, 1, 10) .. "T" .. sub(text, 12) .. "."
        end

        stamp_ms = ms
        stamp = stamp_text .. format("%03dZ", ms % 1000)
    end

    return stamp
end


-- A unit: the columns of one request's events.  They are the same tables from
-- request to request, as nothing yields between begin() and the encoding.

local unit = {
    marks = new_tab(64, 0), cat_of = new_tab(64, 0), cats = {}, cat_counts = {}, cat_index = {},
    runs = new_tab(64, 0), run_event = new_tab(64, 0),
    run_user = new_tab(64, 0), run_bare = new_tab(64, 0),
    stored = new_tab(64, 0), stored_event = new_tab(64, 0),
    stored_to = new_tab(64, 0), fields = new_tab(1024, 0),
    errors = {}, seen = {},
}

local taken = {}                -- recipients of one action

local unnamed, unnamed_prefix = 0, nil

_M.unit = unit

local columns = { "marks", "cat_of", "runs", "run_bare", "run_event",
                  "run_user", "stored", "stored_event", "stored_to",
                  "fields" }


function _M.begin(batch)
    -- what a large request left behind goes, what a small one did stays

    if (unit.nfields or 0) > 4096 or (unit.nruns or 0) > 256 then
        for i = 1, #columns do
            clear(unit[columns[i]])
        end
    end

    if unit.ncats ~= 0 then
        clear(unit.cats)
        clear(unit.cat_index)
    end

    if unit.batch then
        clear(unit.seen)
    end

    if unit.nerrors ~= 0 then
        clear(unit.errors)
    end

    unit.batch = batch
    unit.nevents, unit.ncats, unit.nruns, unit.nstored = 0, 0, 0, 0
    unit.nfields, unit.nerrors = 0, 0
    unit.accepted, unit.duplicates, unit.nignored = 0, 0, 0
    unit.time = timestamp()
    unit.ms = stamp_ms
end


-- Once in each worker.

function _M.init_worker()
    unnamed_prefix = md5(now() .. " " .. ngx.worker.pid()) .. "-"
end


local function add_error(index, code, message, action)
    unit.nerrors = unit.nerrors + 1
    unit.errors[unit.nerrors] = '{"index":' .. index
        .. (action and ',"action":' .. encode(action) or "")
        .. ',"code":"' .. code .. '","message":' .. quote(message) .. "}"
end


-- Adds a user to be stored; ends with `updated_at`.

local function end_stored(id, event, n)
    local fields = unit.fields
    local s = unit.nstored + 1

    fields[n + 1] = "id"
    fields[n + 2] = quote(id)
    fields[n + 3] = "updated_at"
    fields[n + 4] = '"' .. unit.time .. '"'

    unit.nfields = n + 4
    unit.nstored = s
    unit.stored[s] = id
    unit.stored_event[s] = event
    unit.stored_to[s] = n + 4
end


-- A user from traits; nil if there are too many.

local function store_traits(id, event, traits)
    local fields, n = unit.fields, unit.nfields
    local first, last = traits.firstName, traits.lastName
    local limit = n + 2 * config.max_fields

    for name, value in pairs(traits) do
        if name == "phone" then
            name = not traits.phone_number and "phone_number" or nil
        elseif name == "createdAt" then
            name = "created_at"
        elseif identified[name] then
            name = nil
        end

        if name then
            fields[n + 1] = name
            fields[n + 2] = json(value)
            n = n + 2

            if n > limit then
                return nil
            end
        end
    end

    if traits.name == nil and type(first) == "string"
       and type(last) == "string"
    then
        fields[n + 1] = "name"
        fields[n + 2] = quote(first .. " " .. last)
        n = n + 2
    end

    end_stored(id, event, n)

    return id
end


-- A user from an inline recipient, whose names are those of the user; nil if
-- there are too many.

local function store_inline(id, event, user)
    local fields, n = unit.fields, unit.nfields
    local limit = n + 2 * config.max_fields

    for name, value in pairs(user) do
        if not identified[name] then
            fields[n + 1] = name
            fields[n + 2] = json(value)
            n = n + 2

            if n > limit then
                return nil
            end
        end
    end

    end_stored(id, event, n)

    return id
end


-- The id of a parameter that is an id or an object with one, as JSON.

local function reference(v)
    if type(v) == "table" then
        v = v.id
    end

    local id = id_of(v)

    return id and quote(id) or nil
end


-- Adds the runs of one action; a code and a message if it fails.

local function act(action, event, ev, mid, message)
    local recipients = action.recipients(ev)

    if recipients == nil or recipients == null then
        return "recipients_missing",
               "the event has none of the action's \"recipients\", send them "
               .. "or change the path: " .. action.path
    end

    local list, count = false, 1

    if type(recipients) == "table" and recipients.id == nil then
        list, count = recipients, #recipients
    end

    if count > config.max_recipients then
        return "too_many_recipients",
               "the event has " .. count .. " recipients, the limit is "
               .. config.max_recipients .. ": send fewer"
    end

    local actor = reference(action.actor(ev))
    local at = ev.timestamp
    local properties = ev.properties
    local trigger = uuid(action.seed .. mid)

    local head = '","trigger_id":"' .. trigger .. action.head .. message
                 .. action.middle
    local tail = '},"actor":'
        .. (actor and '{"collection":"$users","id":' .. actor .. "}" or "null")
        .. ',"tenant":' .. (reference(action.tenant(ev)) or "null")
        .. ',"cancellation_key":'
        .. (reference(action.cancellation_key(ev)) or "null") .. ',"data":'
        .. (type(properties) == "table" and encode(properties) or "{}")
        .. ',"timestamp":' .. (type(at) == "string" and quote(at) or "null")
        .. ',"enqueued_at":"' .. unit.time .. '","test":false}'

    if count > 1 then
        clear(taken)
    end

    for i = 1, count do
        local r = recipients
        local inline, id

        if list then
            r = list[i]
        end

        if type(r) == "table" then
            inline = r.collection == nil or r.collection == "$users"
            id = inline and id_of(r.id)
        else
            id = id_of(r)
        end

        if id and inline then
            id = store_inline(id, event, r)
        end

        if id and not (count > 1 and taken[id]) then
            local n = unit.nruns + 1

            taken[id] = true
            unit.nruns = n
            unit.runs[n] = '{"id":"' .. uuid(trigger .. id) .. head
                           .. quote(id) .. tail
            unit.run_event[n] = event
            unit.run_user[n] = id
            unit.run_bare[n] = not inline
        end
    end
end


local types = { track = true, identify = true, page = true, screen = true,
                group = true, alias = true }


-- What is wrong with an event; nil, its type in lower case and its key if
-- nothing is.

local function check(ev)
    if type(ev) ~= "table" then
        return "an event must be a JSON object"
    end

    local kind = ev.type

    if not types[kind] then
        kind = type(kind) == "string" and lower(kind)

        if not types[kind] then
            return '"type" is none of the six: expected "track", "identify", '
                   .. '"page", "screen", "group" or "alias"'
        end
    end

    local properties = ev.properties

    if properties ~= nil and type(properties) ~= "table"
       and properties ~= null
    then
        return '"properties" must be an object or null'
    end

    if kind ~= "track" then
        return nil, kind, kind
    end

    local name = ev.event

    if type(name) ~= "string" or name == "" or #name > 512 then
        return '"event" must be a string of 1 to 512 bytes, the name of the '
               .. 'event'
    end

    return nil, kind, "track/" .. name
end


local function count(key)
    local cat = unit.cat_index[key]

    if not cat then
        cat = unit.ncats + 1
        unit.ncats = cat
        unit.cats[cat] = key
        unit.cat_index[key] = cat
        unit.cat_counts[cat] = 0
    end

    unit.cat_counts[cat] = unit.cat_counts[cat] + 1

    return cat
end


-- Identifies the event's user; what is wrong with the event, or nil and
-- whether there was one.

local function identify(ev, event)
    local traits = ev.traits

    if traits == nil or traits == null then
        traits = type(ev.context) == "table" and ev.context.traits
    end

    if not traits or traits == null then
        traits = {}
    end

    if type(traits) ~= "table" then
        return '"traits" must be an object or null'
    end

    if ev.userId == nil or ev.userId == null then
        return nil, false
    end

    local id = id_of(ev.userId)

    if not id then
        return '"userId" must be a string or an integer of 1 to 256 bytes '
               .. 'without control characters'
    end

    if not store_traits(id, event, traits) then
        return '"traits" has more than ' .. config.max_fields
               .. ' properties: send fewer'
    end

    return nil, true
end


-- Adds an event, number `index` of the body.

function _M.add(ev, index)
    local wrong, kind, key = check(ev)

    if wrong then
        return add_error(index, "invalid_event", wrong)
    end

    local mid = ev.messageId
    local message, mark = "null"

    if type(mid) == "string" and mid ~= "" and #mid <= 255 then
        message = quote(mid)
        mark = mid .. "\n" .. key

        -- whatever becomes of the first one, the second is its repeat

        if unit.batch and unit.seen[mark] then
            unit.duplicates = unit.duplicates + 1
            return
        end

    else
        -- a mark that nothing repeats

        unnamed = unnamed + 1
        mid = unnamed_prefix .. unnamed
        mark = mid
    end

    local event = unit.nevents + 1
    local handled, failed = false, false

    if kind == "identify" and config.identify then
        wrong, handled = identify(ev, event)

        if wrong then
            return add_error(index, "invalid_event", wrong)
        end
    end

    local list = actions[key]

    if list then
        local ok = handled

        for i = 1, #list do
            local code, text = act(list[i], event, ev, mid, message)

            if code then
                add_error(index, code, text, list[i].key)
            else
                ok = true
            end
        end

        handled = true
        failed = not ok
    end

    local cat = count(key)

    if failed then                  -- no mark: its retry is processed whole
        unit.accepted = unit.accepted + 1
        return
    end

    if unit.batch then
        unit.seen[mark] = true
    end

    if handled then
        unit.accepted = unit.accepted + 1
    else
        unit.nignored = unit.nignored + 1
    end

    unit.nevents = event
    unit.marks[event] = mark
    unit.cat_of[event] = handled and cat or -cat
end


return _M
