#include "CCurl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer {
    uint8_t *octets;
    size_t count;
    size_t room;
    size_t maximum;
    int is_too_long;
};

static size_t take(char *octets, size_t size, size_t count, void *context) {
    struct answer *answer = context;
    size_t more = size * count;
    if (more > answer->maximum - answer->count) {
        answer->is_too_long = 1;
        return 0;
    }
    if (answer->count + more > answer->room) {
        size_t room = answer->room ? answer->room : 4096;
        while (room < answer->count + more) room *= 2;
        uint8_t *larger = realloc(answer->octets, room);
        if (!larger) return 0;
        answer->octets = larger;
        answer->room = room;
    }
    memcpy(answer->octets + answer->count, octets, more);
    answer->count += more;
    return more;
}

void parley_fetch_prepare(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

int parley_fetch(const struct parley_fetch *request, uint8_t **octets, size_t *count, char reason[PARLEY_FETCH_REASON]) {
    struct answer answer = {.maximum = request->maximum_octets};
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    int result = -1;
    CURL *curl = curl_easy_init();
    if (!curl) {
        snprintf(reason, PARLEY_FETCH_REASON, "no memory");
        return result;
    }
    curl_easy_setopt(curl, CURLOPT_URL, request->uri);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 3L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, request->milliseconds);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, request->milliseconds);
    // Timeouts of names by signals are not for a process with threads.
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "parley");
    if (request->content_type) {
        char line[128];
        snprintf(line, sizeof line, "Content-Type: %s", request->content_type);
        headers = curl_slist_append(headers, line);
        // Some responders know nothing of "100 Continue".
        headers = curl_slist_append(headers, "Expect:");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_count);
    }
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (answer.is_too_long) {
        snprintf(reason, PARLEY_FETCH_REASON, "the answer is longer than %zu octets", request->maximum_octets);
    } else if (code != CURLE_OK) {
        snprintf(reason, PARLEY_FETCH_REASON, "%s", detail[0] ? detail : curl_easy_strerror(code));
    } else if (status != 200) {
        snprintf(reason, PARLEY_FETCH_REASON, "the server answers %ld", status);
    } else {
        result = 0;
    }
    if (result == 0) {
        *octets = answer.octets;
        *count = answer.count;
    } else {
        free(answer.octets);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return result;
}
