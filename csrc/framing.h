/* What the head parser's files share with each other and with nobody else. */
#ifndef FC_FRAMING_H
#define FC_FRAMING_H

#include "parser.h"

#define FC_BIT(id) (UINT64_C(1) << FC_FIELD_##id)

/* The id of a name that holds no control byte; quicker than fc_field_id, which believes nothing. */
FcFieldId fc_field_lookup(const char *name, size_t len);

/* Take the request line [line, end) of buf apart. It holds no control byte but HTAB. */
FcHttpError fc_request_line(FcRequest *request, const char *buf, const char *line, const char *end);

/* Fields whose value is checked when it is met: fc_field_value() must see them. */
#define FC_FIELDS_CHECKED (FC_BIT(HOST) | FC_BIT(CONTENT_LENGTH) | FC_BIT(EXPECT))

/* Check such a value and note what it says. */
FcHttpError fc_field_value(FcRequest *request, FcFieldId id, const char *value, size_t len);

/* Decide framing and persistence, when all fields are there. */
FcHttpError fc_decide_framing(FcRequest *request, const char *buf);

#endif
