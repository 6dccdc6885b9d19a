/* A backend that answers every request with nothing.

   Compiled once and put in the place of onnxruntime, tensorrt, pytorch and others, it lets the real
   server run all that its core checks about a model of theirs: schedulers, tensors, instance groups,
   warm-up. What the real backend would check about the model's file is not run. */
#include <stddef.h>
#include <stdint.h>

extern void* TRITONBACKEND_ResponseNew(void** response, void* request);
extern void* TRITONBACKEND_ResponseSend(void* response, uint32_t flags, void* error);
extern void* TRITONBACKEND_RequestRelease(void* request, uint32_t flags);

enum { RESPONSE_FINAL = 1, RELEASE_ALL = 1 };

void* TRITONBACKEND_ModelInstanceExecute(void* instance, void** requests, uint32_t count) {
  (void)instance;
  for (uint32_t i = 0; i < count; ++i) {
    void* response = NULL;
    TRITONBACKEND_ResponseNew(&response, requests[i]);
    TRITONBACKEND_ResponseSend(response, RESPONSE_FINAL, NULL);
    TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
  }
  return NULL;
}
