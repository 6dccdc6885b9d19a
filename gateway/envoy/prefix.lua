-- The first bytes of a body, hashed into x-prompt-prefix: bodies that begin alike share a server.
function envoy_on_request(request)
  if request:headers():get("x-prompt-prefix") then return end
  local body = request:body()
  if body == nil or body:length() == 0 then return end
  local prefix = body:getBytes(0, math.min(body:length(), PREFIX_BYTES))
  local hash = 5381
  for i = 1, #prefix do hash = (hash * 33 + prefix:byte(i)) % 4294967296 end
  request:headers():add("x-prompt-prefix", string.format("%08x", hash))
end
