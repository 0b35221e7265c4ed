// SPDX-License-Identifier: GPL-2.0-only
//! The types of H.225.0, in the notation of [`schema`](super::schema).

/// H.225.0: call signalling and RAS. The first type lists the messages.
pub(super) const TYPES: &str = "\
Messages
 RasMessage !+ choice 5 24 32 RasMessage
 H323-UserInformation !+ seq 1 2 2 H323-UserInformation
 MultimediaSystemControlMessage !+ choice 2 4 4 MultimediaSystemControlMessage
IpAddress
 ip ! oct fixed 4
 port . int word 0
SourceRoute
 ip . oct fixed 4
 port . int word 0
 route . of len 0 hop . oct fixed 4
 routing + choice 1 2 2 TwoNulls
TwoNulls
 first . null
 second . null
IpxAddress
 node . oct fixed 6
 netnum . oct fixed 4
 port . oct fixed 2
Ip6Address
 ip ! oct fixed 16
 port . int word 0
H221NonStandard
 t35CountryCode . int byte 0
 t35Extension . int byte 0
 manufacturerCode . int word 0
NonStandardIdentifier
 object . oid
 h221NonStandard + seq 0 3 3 H221NonStandard
NonStandardParameter
 nonStandardIdentifier + choice 1 2 2 NonStandardIdentifier
 data . oct len 0
TransportAddress
 ipAddress ! seq 0 2 2 IpAddress
 ipSourceRoute + seq 0 4 4 SourceRoute
 ipxAddress . seq 0 3 3 IpxAddress
 ip6Address !+ seq 0 2 2 Ip6Address
 netBios . oct fixed 16
 nsap . oct 5 1
 nonStandardAddress . seq 0 2 2 NonStandardParameter
AliasAddress
 dialedDigits . num 7 1
 h323-ID . bmp byte 1
 skip 5
VendorIdentifier
 vendor + seq 0 3 3 H221NonStandard
 productId ? oct byte 1
 versionId ? oct byte 1
OnlyNonStandard
 nonStandardData ? seq 0 2 2 NonStandardParameter
OnlyNonStandardOf3
 nonStandardData ? seq 0 2 2 NonStandardParameter
 skip 2
OnlyNonStandardOf2
 nonStandardData ? seq 0 2 2 NonStandardParameter
 skip 1
SupportedProtocols
 nonStandardData . seq 0 2 2 NonStandardParameter
 h310 + seq 1 1 3 OnlyNonStandardOf3
 h320 + seq 1 1 3 OnlyNonStandardOf3
 h321 + seq 1 1 3 OnlyNonStandardOf3
 h322 + seq 1 1 3 OnlyNonStandardOf3
 h323 + seq 1 1 3 OnlyNonStandardOf3
 h324 + seq 1 1 3 OnlyNonStandardOf3
 voice + seq 1 1 3 OnlyNonStandardOf3
 t120-only + seq 1 1 3 OnlyNonStandardOf3
 skip 2
GatewayInfo
 protocol ? of len 0 item + choice 4 9 11 SupportedProtocols
 nonStandardData ? seq 0 2 2 NonStandardParameter
EndpointType
 nonStandardData ? seq 0 2 2 NonStandardParameter
 vendor +? seq 2 3 3 VendorIdentifier
 gatekeeper +? seq 1 1 1 OnlyNonStandard
 gateway +? seq 2 2 2 GatewayInfo
 mcu +? seq 1 1 2 OnlyNonStandardOf2
 terminal +? seq 1 1 1 OnlyNonStandard
 mc . bool
 undefinedNode . bool
 skip 2
ConferenceGoal
 create . null
 join . null
 invite . null
 skip 2
QseriesOptions
 q932Full . bool
 q951Full . bool
 q952Full . bool
 q953Full . bool
 q955Full . bool
 q956Full . bool
 q957Full . bool
 q954Info + seq 0 2 2 Q954Details
Q954Details
 conferenceCalling . bool
 threePartyService . bool
CallType
 pointToPoint . null
 oneToN . null
 nToOne . null
 nToN . null
Setup
 protocolIdentifier . oid
 h245Address !+? choice 3 7 7 TransportAddress
 sourceAddress ? of len 0 item + choice 1 2 7 AliasAddress
 sourceInfo + seq 6 8 10 EndpointType
 destinationAddress ? of len 0 item + choice 1 2 7 AliasAddress
 destCallSignalAddress !+? choice 3 7 7 TransportAddress
 destExtraCallInfo ? of len 0 item + choice 1 2 7 AliasAddress
 destExtraCRV ? of len 0 item . int word 0
 activeMC . bool
 conferenceID . oct fixed 16
 conferenceGoal + choice 2 3 5 ConferenceGoal
 callServices +? seq 0 8 8 QseriesOptions
 callType + choice 2 4 4 CallType
 sourceCallSignalAddress !+? choice 3 7 7 TransportAddress
 skip 5
 fastStart !? of len 30 item !~+ seq 1 3 5 OpenLogicalChannel
 skip 2
 endpointIdentifier #? null
CallProceeding
 protocolIdentifier . oid
 destinationInfo + seq 6 8 10 EndpointType
 h245Address !+? choice 3 7 7 TransportAddress
 skip 4
 fastStart !? of len 30 item !~+ seq 1 3 5 OpenLogicalChannel
 skip 4
Connect
 protocolIdentifier . oid
 h245Address !+? choice 3 7 7 TransportAddress
 destinationInfo + seq 6 8 10 EndpointType
 conferenceID . oct fixed 16
 skip 4
 fastStart !? of len 30 item !~+ seq 1 3 5 OpenLogicalChannel
 skip 10
Alerting
 protocolIdentifier . oid
 destinationInfo + seq 6 8 10 EndpointType
 h245Address !+? choice 3 7 7 TransportAddress
 skip 4
 fastStart !? of len 30 item !~+ seq 1 3 5 OpenLogicalChannel
 skip 9
Information
 protocolIdentifier . oid
 skip 6
ReleaseCompleteReason
 noBandwidth . null
 gatekeeperResources . null
 unreachableDestination . null
 destinationRejection . null
 invalidRevision . null
 noPermission . null
 unreachableGatekeeper . null
 gatewayResources . null
 badFormatAddress . null
 adaptiveBusy . null
 inConf . null
 undefinedReason . null
 skip 10
ReleaseComplete
 protocolIdentifier . oid
 reason +? choice 4 12 22 ReleaseCompleteReason
 skip 9
FacilityReason
 routeCallToGatekeeper . null
 callForwarded . null
 routeCallToMC . null
 undefinedReason . null
 skip 7
Facility
 protocolIdentifier . oid
 alternativeAddress !+? choice 3 7 7 TransportAddress
 alternativeAliasAddress ? of len 0 item + choice 1 2 7 AliasAddress
 conferenceID ? oct fixed 16
 reason !+ choice 2 4 11 FacilityReason
 skip 6
 h245Address !+? choice 3 7 7 TransportAddress
 fastStart !? of len 30 item !~+ seq 1 3 5 OpenLogicalChannel
 skip 8
CallIdentifier
 guid . oct fixed 16
SecurityServiceMode
 nonStandard . seq 0 2 2 NonStandardParameter
 none . null
 default . null
SecurityCapabilities
 nonStandard ? seq 0 2 2 NonStandardParameter
 encryption + choice 2 3 3 SecurityServiceMode
 authenticaton + choice 2 3 3 SecurityServiceMode
 integrity + choice 2 3 3 SecurityServiceMode
H245Security
 nonStandard . seq 0 2 2 NonStandardParameter
 noSecurity . null
 tls + seq 1 4 4 SecurityCapabilities
 ipsec + seq 1 4 4 SecurityCapabilities
DHset
 halfkey . bits word 0
 modSize . bits word 0
 generator . bits word 0
TypedCertificate
 type . oid
 certificate . oct len 0
H235NonStandardParameter
 nonStandardIdentifier . oid
 data . oct len 0
ClearToken
 tokenOID . oid
 timeStamp ? int cons 1
 password ? bmp 7 1
 dhkey +? seq 0 3 3 DHset
 challenge ? oct 7 8
 random ? int len 0
 certificate +? seq 0 2 2 TypedCertificate
 generalID ? bmp 7 1
 nonStandard ? seq 0 2 2 H235NonStandardParameter
 skip 2
Params
 ranInt ? int len 0
 iv8 ? oct fixed 8
 skip 1
Hashed
 algorithmOID . oid
 paramS + seq 2 2 3 Params
 hash . bits len 0
Encrypted
 algorithmOID . oid
 paramS + seq 2 2 3 Params
 encryptedData . oct len 0
Signed
 toBeSigned ~ null
 algorithmOID . oid
 paramS + seq 2 2 3 Params
 signature . bits len 0
EndpointPasswordHash
 alias + choice 1 2 7 AliasAddress
 timeStamp . int cons 1
 token . seq 0 3 3 Hashed
GatekeeperPasswordHash
 gatekeeperId . bmp 7 1
 timeStamp . int cons 1
 token . seq 0 3 3 Hashed
EncryptedToken
 tokenOID . oid
 token . seq 0 3 3 Encrypted
SignedToken
 tokenOID . oid
 token . seq 0 4 4 Signed
HashedToken
 tokenOID . oid
 hashedVals + seq 8 9 11 ClearToken
 token . seq 0 3 3 Hashed
CryptoToken
 cryptoEncryptedToken . seq 0 2 2 EncryptedToken
 cryptoSignedToken . seq 0 2 2 SignedToken
 cryptoHashedToken . seq 0 3 3 HashedToken
 cryptoPwdEncr . seq 0 3 3 Encrypted
CryptoH323Token
 cryptoEPPwdHash . seq 0 3 3 EndpointPasswordHash
 cryptoGKPwdHash . seq 0 3 3 GatekeeperPasswordHash
 cryptoEPPwdEncr . seq 0 3 3 Encrypted
 cryptoGKPwdEncr . seq 0 3 3 Encrypted
 cryptoEPCert . seq 0 4 4 Signed
 cryptoGKCert . seq 0 4 4 Signed
 cryptoFastStart . seq 0 4 4 Signed
 nestedcryptoToken + choice 2 4 4 CryptoToken
Progress
 protocolIdentifier . oid
 destinationInfo + seq 6 8 10 EndpointType
 h245Address !+? choice 3 7 7 TransportAddress
 callIdentifier + seq 0 1 1 CallIdentifier
 h245SecurityMode +? choice 2 4 4 H245Security
 tokens ? of len 0 item + seq 8 9 11 ClearToken
 cryptoTokens ? of len 0 item + choice 3 8 8 CryptoH323Token
 fastStart !? of len 30 item !~+ seq 1 3 5 OpenLogicalChannel
 skip 3
MessageBody
 setup !+ seq 7 13 39 Setup
 callProceeding !+ seq 1 3 12 CallProceeding
 connect !+ seq 1 4 19 Connect
 alerting !+ seq 1 3 17 Alerting
 information + seq 0 1 7 Information
 releaseComplete + seq 1 2 11 ReleaseComplete
 facility !+ seq 3 5 21 Facility
 progress !+ seq 5 8 11 Progress
 skip 5
H323-UU-PDU
 h323-message-body !+ choice 3 7 13 MessageBody
 nonStandardData ? seq 0 2 2 NonStandardParameter
 skip 2
 h245Control !? of len 4 item !~+ choice 2 4 4 MultimediaSystemControlMessage
 nonStandardControl #? null
H323-UserInformation
 h323-uu-pdu !+ seq 1 2 11 H323-UU-PDU
 user-data #? null
GatekeeperRequest
 requestSeqNum . int word 1
 protocolIdentifier . oid
 nonStandardData ? seq 0 2 2 NonStandardParameter
 rasAddress !+ choice 3 7 7 TransportAddress
 endpointType # null
GatekeeperConfirm
 requestSeqNum . int word 1
 protocolIdentifier . oid
 nonStandardData ? seq 0 2 2 NonStandardParameter
 gatekeeperIdentifier ? bmp 7 1
 rasAddress !+ choice 3 7 7 TransportAddress
 alternateGatekeeper #? null
RegistrationRequest
 requestSeqNum . int word 1
 protocolIdentifier . oid
 nonStandardData ? seq 0 2 2 NonStandardParameter
 discoveryComplete . bool
 callSignalAddress ! of len 10 item !+ choice 3 7 7 TransportAddress
 rasAddress ! of len 10 item !+ choice 3 7 7 TransportAddress
 terminalType + seq 6 8 10 EndpointType
 terminalAlias ? of len 0 item + choice 1 2 7 AliasAddress
 gatekeeperIdentifier ? bmp 7 1
 endpointVendor + seq 2 3 3 VendorIdentifier
 skip 1
 timeToLive !? int cons 1
 tokens #? null
RegistrationConfirm
 requestSeqNum . int word 1
 protocolIdentifier . oid
 nonStandardData ? seq 0 2 2 NonStandardParameter
 callSignalAddress ! of len 10 item !+ choice 3 7 7 TransportAddress
 terminalAlias ? of len 0 item + choice 1 2 7 AliasAddress
 gatekeeperIdentifier ? bmp 7 1
 endpointIdentifier . bmp 7 1
 skip 1
 timeToLive !? int cons 1
 tokens #? null
UnregistrationRequest
 requestSeqNum . int word 1
 callSignalAddress ! of len 10 item !+ choice 3 7 7 TransportAddress
 endpointAlias #? null
CallModel
 direct . null
 gatekeeperRouted . null
AdmissionRequest
 requestSeqNum . int word 1
 callType + choice 2 4 4 CallType
 callModel +? choice 1 2 2 CallModel
 endpointIdentifier . bmp 7 1
 destinationInfo ? of len 0 item + choice 1 2 7 AliasAddress
 destCallSignalAddress !+? choice 3 7 7 TransportAddress
 destExtraCallInfo ? of len 0 item + choice 1 2 7 AliasAddress
 srcInfo . of len 0 item + choice 1 2 7 AliasAddress
 srcCallSignalAddress !+? choice 3 7 7 TransportAddress
 bandWidth # null
AdmissionConfirm
 requestSeqNum . int word 1
 bandWidth . int cons 0
 callModel + choice 1 2 2 CallModel
 destCallSignalAddress !+ choice 3 7 7 TransportAddress
 irrFrequency #? null
LocationRequest
 requestSeqNum . int word 1
 endpointIdentifier ? bmp 7 1
 destinationInfo . of len 0 item + choice 1 2 7 AliasAddress
 nonStandardData ? seq 0 2 2 NonStandardParameter
 replyAddress !+ choice 3 7 7 TransportAddress
 sourceInfo #? null
LocationConfirm
 requestSeqNum . int word 1
 callSignalAddress !+ choice 3 7 7 TransportAddress
 rasAddress !+ choice 3 7 7 TransportAddress
 nonStandardData #? null
InfoRequestResponse
 nonStandardData ? seq 0 2 2 NonStandardParameter
 requestSeqNum . int word 1
 endpointType + seq 6 8 10 EndpointType
 endpointIdentifier . bmp 7 1
 rasAddress !+ choice 3 7 7 TransportAddress
 callSignalAddress ! of len 10 item !+ choice 3 7 7 TransportAddress
 endpointAlias #? null
RasMessage
 gatekeeperRequest !+ seq 4 8 18 GatekeeperRequest
 gatekeeperConfirm !+ seq 2 5 14 GatekeeperConfirm
 gatekeeperReject # null
 registrationRequest !+ seq 3 10 31 RegistrationRequest
 registrationConfirm !+ seq 3 7 24 RegistrationConfirm
 registrationReject # null
 unregistrationRequest !+ seq 3 5 15 UnregistrationRequest
 unregistrationConfirm # null
 unregistrationReject # null
 admissionRequest !+ seq 7 16 34 AdmissionRequest
 admissionConfirm !+ seq 2 6 27 AdmissionConfirm
 admissionReject # null
 bandwidthRequest # null
 bandwidthConfirm # null
 bandwidthReject # null
 disengageRequest # null
 disengageConfirm # null
 disengageReject # null
 locationRequest !+ seq 2 5 17 LocationRequest
 locationConfirm !+ seq 1 4 19 LocationConfirm
 locationReject # null
 infoRequest # null
 infoRequestResponse !+ seq 3 8 16 InfoRequestResponse
 nonStandardMessage # null
 unknownMessageResponse # null
 requestInProgress # null
 resourcesAvailableIndicate # null
 resourcesAvailableConfirm # null
 infoRequestAck # null
 infoRequestNak # null
 serviceControlIndication # null
 serviceControlResponse # null
";
