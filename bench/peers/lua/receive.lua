-- The content handler: body to unit to Redis to answer.

-- luacheck: globals ngx

local cjson = require "cjson.safe"
local event = require "event"
local store = require "store"

local add, begin, unit = event.add, event.begin, event.unit
local apply = store.apply
local byte, find = string.byte, string.find
local decode = cjson.decode
local header = ngx.header
local print = ngx.print
local read_body, get_body_data = ngx.req.read_body, ngx.req.get_body_data
local concat = table.concat
local config = require "config"

-- the most frequent answers

local ANSWER = {
    [0] = '{"accepted":1,"duplicates":0,"ignored":0,"runs":0,"errors":[]}\n',
    [1] = '{"accepted":1,"duplicates":0,"ignored":0,"runs":1,"errors":[]}\n',
}


local function send(text)
    header.content_length = #text
    print(text)
end


local function refuse(status, code, message)
    ngx.status = status
    send('{"error":{"code":"' .. code .. '","message":' .. event.quote(message)
         .. "}}\n")
end


local function body()
    read_body()

    local text = get_body_data()

    if text then
        return text
    end

    local file = ngx.req.get_body_file()
    local f = file and io.open(file, "rb")

    if not f then
        return ""
    end

    text = f:read("*a")
    f:close()

    return text
end


local function batch(events)
    for i = 1, #events do
        add(events[i], i - 1)
    end
end


return function()
    local text = body()
    local value, err = decode(text)

    if type(value) ~= "table" then
        return refuse(400, "invalid_json", "the body is no JSON object or "
                      .. "array: " .. (err or "send events") .. "; in the "
                      .. "destination, look at the mapping")
    end

    local array = byte(text) == 91 or find(text, "^%s*%[")
    local events = value

    if not array and value.type == nil and type(value.batch) == "table" then
        events = value.batch
        array = true
    end

    if array and #events > config.max_batch then
        return refuse(413, "batch_too_large", "the batch has " .. #events
                      .. " events, the limit is " .. config.max_batch
                      .. ": send smaller ones")
    end

    begin(array)

    if array then
        batch(events)
    else
        add(value, 0)
    end

    local accepted, duplicates = unit.accepted, unit.duplicates
    local ignored, nerrors = unit.nignored, unit.nerrors
    local errors = nerrors > 0 and concat(unit.errors, ",", 1, nerrors) or ""

    if accepted + duplicates + ignored == 0 then
        ngx.status = 400
        return send('{"error":{"code":"invalid_event","message":"no event of '
                    .. 'the body is valid: see errors"},"errors":[' .. errors
                    .. "]}\n")
    end

    local runs, repeated, repeated_ignored = apply()

    if not runs then
        ngx.log(ngx.ERR, "Redis at ", config.redis, ": ", repeated)
        header.retry_after = 1
        return refuse(503, "redis_unavailable", "Redis did not apply the "
                      .. "event, nothing has been changed: send it again")
    end

    if runs <= 1 and repeated == 0 and accepted == 1 and duplicates == 0
       and ignored == 0 and nerrors == 0
    then
        return send(ANSWER[runs])
    end

    -- of one event it is known which it was

    if not repeated_ignored then
        repeated_ignored = ignored > 0 and repeated or 0
    end

    send('{"accepted":' .. accepted - (repeated - repeated_ignored)
         .. ',"duplicates":' .. duplicates + repeated
         .. ',"ignored":' .. ignored - repeated_ignored
         .. ',"runs":' .. runs .. ',"errors":[' .. errors .. "]}\n")
end
