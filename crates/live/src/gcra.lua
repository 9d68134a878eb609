-- One key per bucket holds the theoretical arrival time (TAT) in microseconds of Redis' clock.
-- KEYS[1] bucket; ARGV: microseconds per token, burst, cost (below zero: tokens that are given back)
-- Returns: allowed (0 or 1), burst, tokens left, microseconds until allowed, microseconds until full
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tolerance = interval * burst
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local next_tat = math.max(tat + interval * cost, now)
local allowed_at = next_tat - tolerance
if cost > 0 and now < allowed_at then
  return {0, burst, math.max(0, math.floor((tolerance - (tat - now)) / interval)), allowed_at - now, tat - now}
end
-- Lua would print the number with 14 digits and lose the microseconds.
redis.call('SET', KEYS[1], string.format('%.0f', next_tat), 'PX', math.ceil((next_tat - now) / 1000) + 1)
return {1, burst, math.floor((tolerance - (next_tat - now)) / interval), 0, next_tat - now}
