-- Charges what one node let through and tells what all have used. KEYS: state. ARGV: instant or '', `b most amount` in
-- nanoseconds of credit or `w period_us amount` in cost. Gives what is used, in the same units.
local s, ns = instant(ARGV[1])
local kind, a, amount = string.match(ARGV[2], '^(%S+) (%d+) (%d+)$')
a, amount = tonumber(a), tonumber(amount)
local keep = ARGV[1] ~= '' and 'forever' or 'while'
local held = redis.call('GET', KEYS[1])
if kind == 'b' then
  local owed = 0
  if held then
    local at_s, at_ns = string.match(held, '^(%d+) (%d+)$')
    if at_s then
      owed = math.max(0, (tonumber(at_s) - s) * 1e9 + (tonumber(at_ns) - ns))
    end
  end
  owed = math.min(owed + amount, a)
  local at_ns = ns + owed
  put(KEYS[1], whole(s + math.floor(at_ns / 1e9)) .. ' ' .. whole(at_ns % 1e9), owed / 1e6, keep)
  return whole(owed)
end
local now = s * 1e6 + math.floor(ns / 1e3)
local at, current, previous = moved(held, now, a)
current = math.min(current + amount, 4294967295)
put(KEYS[1], whole(at) .. ' ' .. whole(current) .. ' ' .. whole(previous), (at + 2 * a - now) / 1e3, keep)
local elapsed = math.min(math.max(0, now - at), a)
return whole(math.ceil(previous * (a - elapsed) / a) + current)
