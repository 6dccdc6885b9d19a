-- The caller's key, hashed into x-key-hash: who counts requests by key gets no secret.
function envoy_on_request(request)
  local headers = request:headers()
  headers:remove("x-key-hash")
  local authorization = headers:get("authorization") or ""
  local key = authorization:match("^%a+%s+(.+)$") or headers:get("x-api-key")
    or headers:get("api-key")
  if key == nil then return end
  local one, two = 5381, 0
  for i = 1, #key do
    one = (one * 33 + key:byte(i)) % 4294967296
    two = (two * 65599 + key:byte(i)) % 4294967296
  end
  headers:add("x-key-hash", string.format("%08x%08x", one, two))
end
