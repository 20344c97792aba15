-- What wrk sends, and a note of every answer: its status and how long it took.
-- wrk runs one caller a thread here, so that an answer belongs to the request before it.
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long seconds; long nanoseconds; } moment;
int clock_gettime(int clock, moment *now);
]]
local MONOTONIC = 1
local moment = ffi.new("moment")
local callers = 0
local pause_s = tonumber(os.getenv("PAUSE_S")) -- between a caller's requests; unset: the next at once
local requests, at, started, due, notes = {}, 0

local function now()
   ffi.C.clock_gettime(MONOTONIC, moment)
   return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

function setup(thread)
   thread:set("caller", callers)
   callers = callers + 1
end

function init()
   local headers = { ["Content-Type"] = os.getenv("CONTENT_TYPE") }
   for body in io.open(os.getenv("BODIES"), "rb"):read("*a"):gmatch("[^\30]+") do
      requests[#requests + 1] = wrk.format("POST", nil, headers, body)
   end
   at = caller * tonumber(os.getenv("APART"))
   notes = io.open(os.getenv("NOTES") .. "/" .. caller, "w")
   due = now() + (pause_s or 0) * math.random()
end

if pause_s then
   function delay()
      return math.max(0, math.floor((due - now()) * 1000))
   end
end

function request()
   -- Timed from when it was due: a service that stalls keeps its next callers waiting, too.
   started = pause_s and math.min(now(), due) or now()
   due = due + (pause_s or 0)
   at = at + 1
   return requests[at % #requests + 1]
end

function response(status)
   notes:write(status, " ", string.format("%.3f", (now() - started) * 1000), "\n")
end

function done(summary)
   local failed = summary.errors
   print("failed " .. failed.connect + failed.read + failed.write + failed.timeout)
end
