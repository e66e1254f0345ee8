/* Reason phrases of the status codes that RFC 9110 section 15 and its successors name. */
#ifndef FC_PHRASE_H
#define FC_PHRASE_H

/* "" for a status that has none. */
const char *fc_phrase(int status);

#endif
